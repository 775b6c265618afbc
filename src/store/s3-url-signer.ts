/**
 * Signs URLs for GETs of the objects of a bucket, by Signature Version 4 ("Authenticating Requests: Using Query Parameters" in Amazon's documents of S3). The client of AWS looks
 * for endpoint and region anew each time, for 2 to 4 ms that every cold wake waits twice (docs/performance/cold-wake.md). Here it signs the first URL, and from that one is taken
 * what they have in common. Where the two do not agree, the server refuses, and the request is made by the client of AWS.
 */
import {createHash, createHmac} from 'node:crypto';

const algorithm = 'AWS4-HMAC-SHA256';
/** What is made anew for each URL. */
const ownFields: ReadonlySet<string> = new Set(['X-Amz-Credential', 'X-Amz-Date', 'X-Amz-Security-Token', 'X-Amz-Signature']);
/** What the others say is the same for all. */
const commonFields: ReadonlySet<string> = new Set([
  'X-Amz-Algorithm',
  'X-Amz-Content-Sha256',
  'X-Amz-Expires',
  'X-Amz-SignedHeaders',
  'x-amz-checksum-mode',
  'x-id',
]);

export interface Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

export interface UrlSignerOptions {
  /** The client of AWS does it. */
  readonly sign: (key: string) => Promise<string>;
  readonly credentials: () => Promise<Credentials>;
  readonly nowMs: () => number;
}

/** What all URLs of a bucket have in common. */
interface Common {
  readonly origin: string;
  readonly host: string;
  /** Of the path, up to the key. */
  readonly directory: string;
  /** REGION/SERVICE/aws4_request */
  readonly scope: readonly string[];
  readonly fields: readonly (readonly [string, string])[];
}

export class UrlSigner {
  readonly #options: UrlSignerOptions;
  /** Null: nothing can be taken from them. */
  #common: Common | null | undefined;

  constructor(options: UrlSignerOptions) {
    this.#options = options;
  }

  /** @throws what the client of AWS throws */
  async sign(key: string): Promise<string> {
    const {sign, credentials, nowMs} = this.#options;
    if (this.#common === null) return sign(key);
    if (this.#common !== undefined) return signed(this.#common, key, await credentials(), new Date(nowMs()));
    const url = await sign(key);
    this.#common = commonOf(new URL(url), key);
    return url;
  }
}

function commonOf({origin, host, pathname, searchParams}: URL, key: string): Common | null {
  const path = encodedPath(key);
  const [, , ...scope] = (searchParams.get('X-Amz-Credential') ?? '').split('/');
  const fields = [...searchParams].filter(([name]) => !ownFields.has(name));
  const isUnderstood =
    pathname.endsWith(`/${path}`) &&
    scope.length === 3 &&
    searchParams.get('X-Amz-Algorithm') === algorithm &&
    searchParams.get('X-Amz-SignedHeaders') === 'host' &&
    fields.every(([name]) => commonFields.has(name));
  return isUnderstood ? {origin, host, directory: pathname.slice(0, -path.length), scope, fields} : null;
}

function signed({origin, host, directory, scope, fields}: Common, key: string, credentials: Credentials, now: Date): string {
  const time = now.toISOString().replaceAll(/[-:]|\.\d+/g, '');
  const day = time.slice(0, 8);
  const {accessKeyId, secretAccessKey, sessionToken} = credentials;
  const path = `${directory}${encodedPath(key)}`;
  const query = [
    ...fields,
    ['X-Amz-Credential', [accessKeyId, day, ...scope].join('/')] as const,
    ['X-Amz-Date', time] as const,
    ...(sessionToken === undefined ? [] : [['X-Amz-Security-Token', sessionToken] as const]),
  ]
    .map(([name, value]) => `${encoded(name)}=${encoded(value)}`)
    .sort()
    .join('&');
  const request = ['GET', path, query, `host:${host}\n`, 'host', 'UNSIGNED-PAYLOAD'].join('\n');
  const toSign = [algorithm, time, [day, ...scope].join('/'), createHash('sha256').update(request).digest('hex')].join('\n');
  const signingKey = [day, ...scope].reduce<string | Buffer>((secret, part) => createHmac('sha256', secret).update(part).digest(), `AWS4${secretAccessKey}`);
  const signature = createHmac('sha256', signingKey).update(toSign).digest('hex');
  return `${origin}${path}?${query}&X-Amz-Signature=${signature}`;
}

function encodedPath(key: string): string {
  return key.split('/').map(encoded).join('/');
}

/** Everything but what RFC 3986, section 2.3, calls unreserved. */
function encoded(text: string): string {
  return encodeURIComponent(text).replaceAll(/[!'()*]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`);
}
