/**
 * The first bytes of a stream, or a datagram: HAProxy's manual, section 7.3.5. A fetch that could find something else once more bytes are here
 * says so with `mayChange`.
 */
import type {SampleCall} from '../../config/sample.ts';
import type {SampleContext, SampleValue} from './context.ts';
import {badCall, type ClientHelloResult, type Fetch, type FetchBuilder, integerArgument, mayChange, plain, type SampleEnvironment} from './fetch.ts';
import {type Found, intValue, latin1, textValue, yes} from './value.ts';

type PayloadOf = (context: SampleContext) => Uint8Array;

const none = new Uint8Array(0);
const requestPayload: PayloadOf = (context) => context.payload;
const responsePayload: PayloadOf = (context) => context.responsePayload ?? none;

/** `req.payload(offset,length)`; a length of 0 is all there is. */
function payloadFetch(payloadOf: PayloadOf): FetchBuilder {
  return (call) => {
    const offset = positiveArgument(call, 0, null);
    const length = positiveArgument(call, 1, null);
    return {one: (context) => slice(context, payloadOf(context), offset, length)};
  };
}

/** `req.payload_lv(offset1,length[,offset2])`: a number of bytes, told by `length` bytes at `offset1`; `+n` and `-n` count from their end. */
function lengthValueFetch(payloadOf: PayloadOf): FetchBuilder {
  return (call) => {
    const offset = positiveArgument(call, 0, null);
    const size = positiveArgument(call, 1, null);
    const third = call.args[2] ?? '';
    const shift = integerArgument(call, 2, 0);
    if (size < 1 || size > 4) throw badCall(call, 'a length has 1 to 4 bytes');
    const start = third === '' || /^[+-]/.test(third) ? offset + size + shift : shift;
    if (start < 0) throw badCall(call, 'the value would begin before the first byte');
    return {
      one(context) {
        const payload = payloadOf(context);
        if (payload.length < offset + size) return tooShort(context);
        let length = 0;
        for (const byte of payload.subarray(offset, offset + size)) length = length * 256 + byte;
        return length === 0 ? null : slice(context, payload, start, length);
      },
    };
  };
}

function positiveArgument(call: SampleCall, index: number, fallback: number | null): number {
  const number = integerArgument(call, index, fallback);
  if (number < 0) throw badCall(call, `argument ${index + 1} is ${number}, below zero`);
  return number;
}

function slice(context: SampleContext, payload: Uint8Array, offset: number, length: number): SampleValue {
  if (payload.length < offset + length) return tooShort(context);
  if (length === 0) mayChange(context);
  return {type: 'bin', value: payload.subarray(offset, length === 0 ? undefined : offset + length)};
}

function tooShort(context: SampleContext): null {
  mayChange(context);
  return null;
}

function lengthFetch(payloadOf: PayloadOf): FetchBuilder {
  return plain((context) => {
    mayChange(context);
    return intValue(payloadOf(context).length);
  });
}

type ClientHello = Extract<ClientHelloResult, {kind: 'complete'}>;

/** Parsed once for all fetches on the same bytes of a session. */
const parsed = new WeakMap<SampleContext, {readonly payload: Uint8Array; readonly length: number; readonly hello: ClientHelloResult}>();

function helloOf(context: SampleContext, environment: SampleEnvironment): ClientHello | null {
  const {payload} = context;
  const known = parsed.get(context);
  const hello = known?.payload === payload && known.length === payload.length ? known.hello : environment.parseClientHello(payload);
  if (hello !== known?.hello) parsed.set(context, {payload, length: payload.length, hello});
  if (hello.kind === 'incomplete') mayChange(context);
  return hello.kind === 'complete' ? hello : null;
}

function helloFetch(one: (hello: ClientHello) => SampleValue): FetchBuilder {
  return (_call, environment): Fetch => ({
    one(context) {
      const hello = helloOf(context, environment);
      return hello === null ? null : one(hello);
    },
  });
}

/** The protocols that a client would speak over TLS: a condition tries each, a value is the first. */
function offeredProtocols(_call: SampleCall, environment: SampleEnvironment): Fetch {
  const all = (context: SampleContext): Found[] => (helloOf(context, environment)?.alpn ?? []).map(textValue);
  return {all, one: (context) => all(context)[0] ?? null};
}

/** True once nothing more is waited for. */
function waitEnd(context: SampleContext): SampleValue {
  if (context.inspectionEnded) return yes;
  mayChange(context);
  return null;
}

/** The question of a DNS message: its name in lower case without the dot at the end, and its type. RFC 1035, section 4.1.2. */
function dnsQuestion(payload: Uint8Array): {readonly name: string; readonly type: number} | null {
  if (payload.length < 17 || payload[4] !== 0 || payload[5] !== 1) return null;
  const labels: string[] = [];
  let at = 12;
  for (let length = payload[at] ?? 0; length !== 0; length = payload[at] ?? 0) {
    // A compressed name has nothing to point back to in the first question.
    if (length > 63 || at + 1 + length >= payload.length || at > 12 + 254) return null;
    labels.push(latin1(payload.subarray(at + 1, at + 1 + length)).toLowerCase());
    at += 1 + length;
  }
  if (at + 4 >= payload.length) return null;
  return {name: labels.join('.'), type: (payload[at + 1] ?? 0) * 256 + (payload[at + 2] ?? 0)};
}

const dnsTypes: Readonly<Record<number, string>> = {
  1: 'A',
  2: 'NS',
  5: 'CNAME',
  6: 'SOA',
  12: 'PTR',
  15: 'MX',
  16: 'TXT',
  28: 'AAAA',
  33: 'SRV',
  35: 'NAPTR',
  43: 'DS',
  48: 'DNSKEY',
  64: 'SVCB',
  65: 'HTTPS',
  255: 'ANY',
  257: 'CAA',
};

/** Over TCP two bytes of length come first. */
function questionOf(context: SampleContext): ReturnType<typeof dnsQuestion> {
  if (context.connection.protocol === 'udp') return dnsQuestion(context.payload);
  const length = (context.payload[0] ?? 0) * 256 + (context.payload[1] ?? 0);
  if (context.payload.length < 2 || context.payload.length < 2 + length) return tooShort(context);
  return dnsQuestion(context.payload.subarray(2, 2 + length));
}

const sni = helloFetch((hello) => (hello.sni === null ? null : textValue(hello.sni)));
const helloType = helloFetch(() => intValue(1));
/** The major version in the upper 16 bits. */
const helloVersion = helloFetch((hello) => intValue((hello.version >> 8) * 65_536 + (hello.version & 255)));
const requestLength = lengthFetch(requestPayload);

export const payloadFetches: Readonly<Record<string, FetchBuilder>> = {
  'req.len': requestLength,
  req_len: requestLength,
  'req.payload': payloadFetch(requestPayload),
  payload: payloadFetch(requestPayload),
  'req.payload_lv': lengthValueFetch(requestPayload),
  payload_lv: lengthValueFetch(requestPayload),
  'res.len': lengthFetch(responsePayload),
  'res.payload': payloadFetch(responsePayload),
  'res.payload_lv': lengthValueFetch(responsePayload),
  'req.ssl_sni': sni,
  req_ssl_sni: sni,
  'req.ssl_hello_type': helloType,
  req_ssl_hello_type: helloType,
  'req.ssl_ver': helloVersion,
  req_ssl_ver: helloVersion,
  'req.ssl_alpn': offeredProtocols,
  wait_end: plain(waitEnd),
  dns_qname: plain((context) => {
    const question = questionOf(context);
    return question === null ? null : textValue(question.name);
  }),
  dns_qtype: plain((context) => {
    const question = questionOf(context);
    return question === null ? null : textValue(dnsTypes[question.type] ?? `TYPE${question.type}`);
  }),
};
