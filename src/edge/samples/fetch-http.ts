/** The request line, bodies, the status, and who the client says it is: HAProxy's manual, section 7.3.6. */
import type {SampleCall} from '../../config/sample.ts';
import {ipToBytes} from '../proxy-protocol/ip-bytes.ts';
import {avalanche, sdbm} from './checksums.ts';
import type {RequestFacts, ResponseFacts, SampleContext, SampleValue} from './context.ts';
import {badCall, type FetchBuilder, neededArgument, plain, textArgument} from './fetch.ts';
import {headerValue, headerValues} from './header-fields.ts';
import {payloadHead, requestOf} from './payload-request.ts';
import {parametersIn, parameterValues, pathAndQuery, pathOf, queryOf} from './request-target.ts';
import {boolValue, type Found, intValue, latin1, leadingInteger, textValue} from './value.ts';

function ofRequest(one: (request: RequestFacts) => SampleValue): FetchBuilder {
  return plain((context) => {
    const request = requestOf(context);
    return request === null ? null : one(request);
  });
}

function ofResponse(one: (response: ResponseFacts) => SampleValue): FetchBuilder {
  return plain(({response}) => (response === null ? null : one(response)));
}

type Message = Pick<RequestFacts | ResponseFacts, 'headers' | 'body'>;

function bodyOf({body = null}: Message): SampleValue {
  return body === null ? null : {type: 'bin', value: body};
}

function bodyLength({body}: Message): SampleValue {
  return intValue(body?.length ?? 0);
}

/** Of the whole body, where the message says it; one without a body may say what it would be. */
function bodySize({headers, body}: Message): SampleValue {
  if (body?.length === 0) return intValue(0);
  const declared = headerValues(headers, 'content-length', false)[0];
  return intValue(declared === undefined ? (body?.length ?? 0) : leadingInteger(declared));
}

function textOrNull(text: string | null): SampleValue {
  return text === null ? null : textValue(text);
}

/** The first `Host` and the path, of which either may be missing. */
function baseOf(request: RequestFacts, pathOfUri: (uri: string) => string | null): string | null {
  const path = pathOfUri(request.uri);
  const host = headerValue(request.headers, 'host', true, 1);
  return host === null || host === '' ? path : host + (path ?? '');
}

function baseHash(request: RequestFacts, pathOfUri: (uri: string) => string | null): number {
  return avalanche(sdbm(Buffer.from(baseOf(request, pathOfUri) ?? '', 'latin1')));
}

/** As keys of stick tables: what a client asks for, by the client. */
function hashAndSource(pathOfUri: (uri: string) => string | null): FetchBuilder {
  return plain((context) => {
    const request = requestOf(context);
    const address = ipToBytes(context.connection.source.host);
    if (request === null || address === null) return null;
    const hash = Buffer.alloc(4);
    hash.writeUInt32BE(baseHash(request, pathOfUri) >>> 0);
    return {type: 'bin', value: Buffer.concat([hash, address])};
  });
}

function parameterFetch(convert: (value: string) => Found): FetchBuilder {
  return (call) => {
    const name = textArgument(call, 0);
    const delimiter = textArgument(call, 1) || '?';
    if (delimiter.length > 1) throw badCall(call, 'the delimiter is one character');
    const all = (context: SampleContext): Found[] => {
      const request = requestOf(context);
      return request === null ? [] : parameterValues(request.uri, name, delimiter).map(convert);
    };
    return {one: (context) => all(context)[0] ?? null, all};
  };
}

const bodyParameter: FetchBuilder = (call) => {
  const name = textArgument(call, 0);
  const all = (context: SampleContext): Found[] => {
    const body = requestOf(context)?.body ?? null;
    return body === null ? [] : parametersIn(latin1(body), name, '&').map(textValue);
  };
  return {one: (context) => all(context)[0] ?? null, all};
};

/** The two halves of HTTP basic authentication (RFC 7617), through the header of a proxy when the target is one's. */
function basicCredentials(request: RequestFacts): {readonly user: string; readonly password: string} | null {
  const proxied = !request.uri.startsWith('/') && headerValue(request.headers, 'proxy-authorization', false, 1) !== null;
  const value = headerValue(request.headers, proxied ? 'proxy-authorization' : 'authorization', false, 1);
  const encoded = value === null ? null : /^basic +([A-Za-z0-9+/=]+)$/i.exec(value);
  if (encoded === null) return null;
  const text = Buffer.from(encoded[1] ?? '', 'base64').toString('latin1');
  const colon = text.indexOf(':');
  return colon < 0 ? null : {user: text.slice(0, colon), password: text.slice(colon + 1)};
}

function groupsOf(context: SampleContext, userlist: string): {readonly user: string; readonly groups: readonly string[]} | null {
  const request = requestOf(context);
  const credentials = request === null ? null : basicCredentials(request);
  if (credentials === null) return null;
  const groups = context.surroundings.authenticate(userlist, credentials.user, credentials.password);
  return groups === null ? null : {user: credentials.user, groups};
}

function userlistOf(call: SampleCall): string {
  return neededArgument(call, 0, 'the name of a userlist');
}

const authenticated: FetchBuilder = (call) => {
  const userlist = userlistOf(call);
  return {one: (context) => boolValue(groupsOf(context, userlist) !== null)};
};

/** In a text the user; a condition compares the groups. */
const authenticatedGroup: FetchBuilder = (call) => {
  const userlist = userlistOf(call);
  return {
    one(context) {
      const found = groupsOf(context, userlist);
      return found === null ? null : textValue(found.user);
    },
    all: (context) => groupsOf(context, userlist)?.groups.map(textValue) ?? [],
  };
};

const bearerToken: FetchBuilder = (call) => {
  const header = (textArgument(call, 0) || 'authorization').toLowerCase();
  return {
    one(context) {
      const value = headerValue(requestOf(context)?.headers ?? [], header, false, 1);
      return textOrNull((value === null ? null : /^bearer +(\S+)$/i.exec(value)?.[1]) ?? null);
    },
  };
};

/** Whether the first bytes are a request, in either mode. */
function isHttp(context: SampleContext): SampleValue {
  return requestOf(context) !== null ? boolValue(true) : payloadHead(context).kind === 'incomplete' ? null : boolValue(false);
}

const version = ofRequest((request) => textValue(request.version));
const responseVersion = plain((context) => textOrNull(context.response?.version ?? null));
const parameter = parameterFetch(textValue);
const protocolIsHttp = plain(isHttp);

export const httpFetches: Readonly<Record<string, FetchBuilder>> = {
  method: ofRequest((request) => ({type: 'method', value: request.method})),
  path: ofRequest((request) => textOrNull(pathOf(request.uri))),
  pathq: ofRequest((request) => textOrNull(pathAndQuery(request.uri))),
  url: ofRequest((request) => textValue(request.uri)),
  query: ofRequest((request) => textOrNull(queryOf(request.uri))),
  base: ofRequest((request) => textOrNull(baseOf(request, pathOf))),
  baseq: ofRequest((request) => textOrNull(baseOf(request, pathAndQuery))),
  base32: ofRequest((request) => intValue(baseHash(request, pathOf))),
  'base32+src': hashAndSource(pathOf),
  url32: ofRequest((request) => intValue(baseHash(request, pathAndQuery))),
  'url32+src': hashAndSource(pathAndQuery),
  url_param: parameter,
  urlp: parameter,
  urlp_val: parameterFetch((value) => intValue(leadingInteger(value))),
  'req.ver': version,
  req_ver: version,
  'req.body': ofRequest(bodyOf),
  'req.body_len': ofRequest(bodyLength),
  'req.body_size': ofRequest(bodySize),
  'req.body_param': bodyParameter,
  'req.proto_http': protocolIsHttp,
  req_proto_http: protocolIsHttp,
  'res.body': ofResponse(bodyOf),
  'res.body_len': ofResponse(bodyLength),
  'res.body_size': ofResponse(bodySize),
  status: plain((context) => (context.response === null ? null : intValue(context.response.status))),
  'res.ver': responseVersion,
  resp_ver: responseVersion,
  http_first_req: ofRequest(({isFirst = true}) => boolValue(isFirst)),
  http_auth: authenticated,
  http_auth_group: authenticatedGroup,
  http_auth_bearer: bearerToken,
  http_auth_user: ofRequest((request) => textOrNull(basicCredentials(request)?.user ?? null)),
  http_auth_pass: ofRequest((request) => textOrNull(basicCredentials(request)?.password ?? null)),
  http_auth_type: ofRequest((request) => textOrNull(/^(\S+)/.exec(headerValue(request.headers, 'authorization', false, 1) ?? '')?.[1] ?? null)),
};
