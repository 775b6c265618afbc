/** `compression` (HAProxy's manual, section 4.2): answers are compressed for clients that take it, under HAProxy's conditions. */
import {constants, createDeflate, createDeflateRaw, createGzip, type Deflate, type DeflateRaw, type Gzip} from 'node:zlib';
import type {Compression} from '../../config/proxy-value.ts';
import {type BodyLength, type Header, headerOf, type RequestHead, type ResponseHead, withoutHeader} from './message.ts';

export type Compressor = Gzip | Deflate | DeflateRaw;

type Algorithm = Compression['algorithms'][number];

const statuses = new Set([200, 201, 202, 203]);
/** What comes in pieces must reach the client in pieces. */
const options = {flush: constants.Z_SYNC_FLUSH};

/** Whether `Accept-Encoding` takes a coding, with a quality other than 0. */
function accepts(field: string, coding: string): boolean {
  return field.split(',').some((part) => {
    const [name = '', ...parameters] = part.split(';').map((piece) => piece.trim().toLowerCase());
    return (name === coding || name === '*') && !parameters.some((parameter) => /^q=0(\.0*)?$/.test(parameter));
  });
}

function choose(algorithms: readonly Algorithm[], field: string): Exclude<Algorithm, 'identity'> | null {
  for (const algorithm of algorithms) {
    if (algorithm !== 'identity' && accepts(field, algorithm === 'raw-deflate' ? 'deflate' : algorithm)) return algorithm;
  }
  return null;
}

function isWanted(types: readonly string[], headers: readonly Header[]): boolean {
  const type = headerOf(headers, 'content-type');
  // Parts of a multipart answer have fields of their own.
  if (type?.toLowerCase().startsWith('multipart') === true) return false;
  if (types.length === 0) return true;
  return type !== null && types.some((wanted) => type.toLowerCase().startsWith(wanted.toLowerCase()));
}

/** Those that say `Mozilla/4` cannot be trusted to decompress, but for Internet Explorer 6 with SP2 and later (HAProxy's manual, `compression`). */
function isOldBrowser(agent: string): boolean {
  if (!agent.startsWith('Mozilla/4')) return false;
  const version = /^.{25}MSIE ([6-9])/.exec(agent)?.[1];
  return version === undefined || (version === '6' && !/^.{51}SV1/.test(agent));
}

function create(algorithm: Exclude<Algorithm, 'identity'>): Compressor {
  if (algorithm === 'gzip') return createGzip(options);
  return algorithm === 'deflate' ? createDeflate(options) : createDeflateRaw(options);
}

/** Changes the head for a compressed body, and returns what compresses it; null: it stays as it is. */
export function compressorFor(
  compression: Compression,
  request: RequestHead,
  acceptEncoding: string | null,
  response: ResponseHead,
  length: BodyLength,
): Compressor | null {
  const {headers} = response;
  if (acceptEncoding === null || length === 0 || request.version === '1.0' || request.method === 'HEAD' || !statuses.has(response.status)) return null;
  if (isOldBrowser(headerOf(request.headers, 'user-agent') ?? '')) return null;
  if (headerOf(headers, 'content-encoding') !== null || /no-transform/i.test(headerOf(headers, 'cache-control') ?? '')) return null;
  if ((length !== null && length < compression.minBytes) || !isWanted(compression.types, headers)) return null;
  const tags = headers.filter(([name]) => name === 'etag');
  if (tags.length > 1 || tags.some(([, tag]) => !/^(W\/)?".*"$/.test(tag))) return null;
  const algorithm = choose(compression.algorithms, acceptEncoding);
  if (algorithm === null) return null;
  response.headers = withoutHeader(headers, 'content-length').map(
    (header): Header => (header[0] === 'etag' && !header[1].startsWith('W/') ? ['etag', `W/${header[1]}`] : header),
  );
  response.headers.push(['vary', 'Accept-Encoding'], ['content-encoding', algorithm === 'gzip' ? 'gzip' : 'deflate']);
  return create(algorithm);
}
