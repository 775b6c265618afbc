/** `hdr` and its relatives, and cookies: HAProxy's manual, section 7.3.6. */
import type {SampleCall} from '../../config/sample.ts';
import {formatAddress, parseAddress} from './address.ts';
import type {HeaderFields, SampleContext, SampleValue} from './context.ts';
import {badCall, type Fetch, type FetchBuilder, integerArgument, textArgument} from './fetch.ts';
import {cookieValues, headerValue, headerValues, maxHistory} from './header-fields.ts';
import {requestOf} from './payload-request.ts';
import {byteString, type Found, intValue, leadingInteger, textValue} from './value.ts';

type FieldsOf = (context: SampleContext) => HeaderFields | null;

const requestFields: FieldsOf = (context) => requestOf(context)?.headers ?? null;
const responseFields: FieldsOf = (context) => context.response?.headers ?? null;

interface HeaderArguments {
  readonly name: string;
  /** 0: not told. */
  readonly occurrence: number;
}

function headerArguments(call: SampleCall): HeaderArguments {
  if (call.args.length > 2) throw badCall(call, 'it takes a name and an occurrence');
  const occurrence = integerArgument(call, 1, 0);
  if ((call.args[1] ?? '') !== '' && occurrence === 0) throw badCall(call, 'occurrences count from 1, or from -1 backwards');
  if (occurrence < -maxHistory) throw badCall(call, `occurrences are counted back to -${maxHistory} only`);
  return {name: textArgument(call, 0).toLowerCase(), occurrence};
}

/** @param convert null: this value is none, and the one before it is tried, as HAProxy does where occurrences are not told */
function headerFetch(fieldsOf: FieldsOf, split: boolean, convert: (value: string) => SampleValue): FetchBuilder {
  return (call) => {
    const {name, occurrence} = headerArguments(call);
    const one: Fetch['one'] = (context) => {
      const fields = fieldsOf(context);
      const value = fields === null ? null : headerValue(fields, name, split, occurrence === 0 ? -1 : occurrence);
      return value === null ? null : convert(value);
    };
    if (occurrence !== 0) return {one};
    return {
      one,
      all(context) {
        const found: Found[] = [];
        for (const value of headerValues(fieldsOf(context) ?? [], name, split)) {
          const converted = convert(value);
          if (converted !== null) found.push(converted);
        }
        return found;
      },
    };
  };
}

/** RFC 7239's node without its quotes, an IPv4 address with a port too. */
function headerAddress(value: string): SampleValue {
  const withPort = /^([0-9.]+):(\d{1,5})$/.exec(value);
  if (withPort !== null && Number(withPort[2]) > 65_535) return null;
  const address = parseAddress(withPort?.[1] ?? value);
  return address === null ? null : {type: 'ip', value: formatAddress(address)};
}

function headerNumber(value: string): SampleValue {
  return intValue(leadingInteger(value));
}

function headerCount(fieldsOf: FieldsOf, split: boolean): FetchBuilder {
  return (call) => {
    const name = textArgument(call, 0).toLowerCase();
    return {
      one(context) {
        const fields = fieldsOf(context);
        return fields === null ? null : intValue(headerValues(fields, name, split).length);
      },
    };
  };
}

function headerNames(fieldsOf: FieldsOf): FetchBuilder {
  return (call) => {
    const delimiter = textArgument(call, 0) || ',';
    return {
      one(context) {
        const fields = fieldsOf(context);
        return fields === null ? null : textValue(fields.map(([name]) => name.toLowerCase()).join(delimiter));
      },
    };
  };
}

function allHeaders(fieldsOf: FieldsOf): FetchBuilder {
  return () => ({
    one(context) {
      const fields = fieldsOf(context);
      return fields === null ? null : textValue(`${fields.map(([name, value]) => `${name.toLowerCase()}: ${value}\r\n`).join('')}\r\n`);
    },
  });
}

function cookieFetch(fieldsOf: FieldsOf, header: 'cookie' | 'set-cookie', convert: (value: string) => Found): FetchBuilder {
  return (call) => {
    const name = byteString(call.args[0] ?? '');
    const all = (context: SampleContext): Found[] => cookieValues(fieldsOf(context) ?? [], header, name).map(convert);
    // Of one name the last counts, of any the first.
    return {one: (context) => all(context).at(name === '' ? 0 : -1) ?? null, all};
  };
}

function cookieCount(fieldsOf: FieldsOf, header: 'cookie' | 'set-cookie'): FetchBuilder {
  return (call) => {
    const name = byteString(call.args[0] ?? '');
    return {one: (context) => intValue(cookieValues(fieldsOf(context) ?? [], header, name).length)};
  };
}

const requestHeader = headerFetch(requestFields, true, textValue);
const requestAddress = headerFetch(requestFields, true, headerAddress);
const requestNumber = headerFetch(requestFields, true, headerNumber);
const requestCount = headerCount(requestFields, true);
const responseHeader = headerFetch(responseFields, true, textValue);
const responseAddress = headerFetch(responseFields, true, headerAddress);
const responseNumber = headerFetch(responseFields, true, headerNumber);
const responseCount = headerCount(responseFields, true);
const cookie = cookieFetch(requestFields, 'cookie', textValue);
const cookieNumber = cookieFetch(requestFields, 'cookie', (value) => intValue(leadingInteger(value)));
const serverCookie = cookieFetch(responseFields, 'set-cookie', textValue);

export const headerFetches: Readonly<Record<string, FetchBuilder>> = {
  hdr: requestHeader,
  'req.hdr': requestHeader,
  'req.fhdr': headerFetch(requestFields, false, textValue),
  hdr_ip: requestAddress,
  'req.hdr_ip': requestAddress,
  hdr_val: requestNumber,
  'req.hdr_val': requestNumber,
  hdr_cnt: requestCount,
  'req.hdr_cnt': requestCount,
  'req.fhdr_cnt': headerCount(requestFields, false),
  'req.hdr_names': headerNames(requestFields),
  'req.hdrs': allHeaders(requestFields),
  'res.hdr': responseHeader,
  shdr: responseHeader,
  'res.fhdr': headerFetch(responseFields, false, textValue),
  'res.hdr_ip': responseAddress,
  shdr_ip: responseAddress,
  'res.hdr_val': responseNumber,
  shdr_val: responseNumber,
  'res.hdr_cnt': responseCount,
  shdr_cnt: responseCount,
  'res.fhdr_cnt': headerCount(responseFields, false),
  'res.hdr_names': headerNames(responseFields),
  'res.hdrs': allHeaders(responseFields),
  cook: cookie,
  'req.cook': cookie,
  cookie,
  cook_val: cookieNumber,
  'req.cook_val': cookieNumber,
  cook_cnt: cookieCount(requestFields, 'cookie'),
  'req.cook_cnt': cookieCount(requestFields, 'cookie'),
  'res.cook': serverCookie,
  scook: serverCookie,
  'res.cook_cnt': cookieCount(responseFields, 'set-cookie'),
  scook_cnt: cookieCount(responseFields, 'set-cookie'),
};
