/** What an answer of S3, or its absence, means: whether trying again can help, and what people must be told. */
import {errorCode, errorMessage} from '../core/errors.ts';
import {type ObjectStoreCode, ObjectStoreError} from './object-store.ts';

export type ProblemKind =
  /** Answers that callers expect. */
  | 'no-object'
  /** 404 without a word: no such object, no such bucket, or no S3 at all. */
  | 'not-found'
  | 'exists'
  | 'bad-range'
  | 'no-upload'
  /** Another conditional write of the same key is under way. */
  | 'conflict'
  /** No answer, or one that says that the server cannot at the moment. */
  | 'unreachable'
  | 'overloaded'
  /** What stays as it is until somebody does something. */
  | 'full'
  | 'refused';

export interface Problem {
  readonly kind: ProblemKind;
  /** To follow "Cannot read object ...: ". */
  readonly found: string;
}

const expected: Readonly<Record<string, ProblemKind>> = {
  NoSuchKey: 'no-object',
  NotFound: 'not-found',
  NoSuchUpload: 'no-upload',
  PreconditionFailed: 'exists',
  InvalidRange: 'bad-range',
  ConditionalRequestConflict: 'conflict',
};

const advice: Readonly<Record<string, string>> = {
  NoSuchBucket: "the bucket does not exist; create it or correct 'store' in the configuration",
  AccessDenied: 'access is denied; these credentials need s3:GetObject, s3:PutObject, s3:DeleteObject, s3:AbortMultipartUpload and s3:ListBucket',
  Forbidden: 'access is denied; see that the credentials are right and may use this bucket',
  InvalidAccessKeyId: 'the access key is not known there; see AWS_ACCESS_KEY_ID or the files in ~/.aws',
  SignatureDoesNotMatch: 'the secret key is not the right one; see AWS_SECRET_ACCESS_KEY or the files in ~/.aws',
  ExpiredToken: 'the credentials have expired; renew them',
  InvalidToken: 'the session token is not valid; see AWS_SESSION_TOKEN or the files in ~/.aws',
  RequestTimeTooSkewed:
    'the clock of this machine differs from that of the server by more than it accepts (15 minutes for Amazon); set the clock, best with NTP',
  PermanentRedirect: "the bucket is in another region; write its region after 'store s3://...'",
  AuthorizationHeaderMalformed: "the bucket is in another region; write its region after 'store s3://...'",
  IllegalLocationConstraintException: "the bucket is in another region; write its region after 'store s3://...'",
  NotImplemented: 'the server does not know this request; it must support conditional PUT (If-None-Match), ranges and multipart uploads',
  CredentialsProviderError: 'no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or write them to ~/.aws/credentials',
};

/** The code of an error for an answer that no server of S3 gives. */
export const notS3 = 'ERR_NOT_S3';

/** Errors of a request that arrived damaged or not at all; the same request may arrive the next time. */
const passing: ReadonlySet<string> = new Set([
  'RequestTimeout',
  'IncompleteBody',
  'BadDigest',
  'XAmzContentSHA256Mismatch',
  'OperationAborted',
  'TimeoutError',
]);
const full: ReadonlySet<string> = new Set(['XMinioStorageFull', 'QuotaExceeded', 'InsufficientStorage', 'QuotaExceededException']);
const network =
  /^(?:ECONNREFUSED|ECONNRESET|ECONNABORTED|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|ENETDOWN|EADDRNOTAVAIL|ENOTFOUND|EAI_AGAIN|EPROTO|HPE_\w+|ERR_STREAM_PREMATURE_CLOSE)$/;
const certificate = /CERT|UNABLE_TO_|ERR_TLS|SIGNED/;

/** @param error what a request rejected with */
export function problemOf(error: unknown): Problem {
  const name = error instanceof Error ? error.name : '';
  const status = statusOf(error);
  const said = describe(error, name, status);
  const known = expected[name] ?? (status === 412 ? 'exists' : status === 416 ? 'bad-range' : undefined);
  if (known === 'not-found') return {kind: known, found: `${advice['NoSuchBucket'] ?? ''}, or this is no server of S3 (${said})`};
  if (known !== undefined) return {kind: known, found: said};
  if (full.has(name) || status === 507) return {kind: 'full', found: `the store is full (${said})`};
  const hint = advice[name] ?? (status === 403 ? advice['Forbidden'] : status === 301 ? advice['PermanentRedirect'] : undefined);
  if (hint !== undefined) return {kind: 'refused', found: `${hint} (${said})`};
  if (passing.has(name)) return {kind: 'unreachable', found: said};
  if (name === 'SlowDown' || status === 429 || status === 503) return {kind: 'overloaded', found: `it has too much to do (${said})`};
  if (status !== undefined && (status >= 500 || status < 300)) return {kind: 'unreachable', found: `it fails (${said})`};
  if (status !== undefined) return {kind: 'refused', found: said};
  return withoutAnswer(error, said);
}

function withoutAnswer(error: unknown, said: string): Problem {
  const code = errorCode(error) ?? '';
  if (network.test(code)) return {kind: 'unreachable', found: said};
  if (certificate.test(code))
    return {kind: 'refused', found: `its certificate is not accepted (${said}); name the file of its authority in NODE_EXTRA_CA_CERTS before the start`};
  return {kind: 'refused', found: said};
}

/** True when the same request may succeed in a moment. */
export function isPassing({kind}: Problem): boolean {
  return kind === 'unreachable' || kind === 'overloaded' || kind === 'conflict';
}

const codes: Readonly<Partial<Record<ProblemKind, ObjectStoreCode>>> = {
  'no-object': 'ERR_NO_OBJECT',
  exists: 'ERR_OBJECT_EXISTS',
  'bad-range': 'ERR_OBJECT_TRUNCATED',
  full: 'ERR_STORE_FULL',
};

/**
 * The error for a caller of the store.
 * @param what.doing what cannot be done: `read object "k" in bucket "b"`
 */
export function storeError({doing, key}: {doing: string; key: string}, error: unknown): ObjectStoreError {
  const problem = problemOf(error);
  const code = codes[problem.kind] ?? 'ERR_STORE_FAILED';
  const found = code === 'ERR_NO_OBJECT' ? 'it does not exist' : code === 'ERR_OBJECT_EXISTS' ? 'it exists already' : problem.found;
  return new ObjectStoreError(code, `Cannot ${doing}: ${found}`, {key, cause: error, retryable: isPassing(problem)});
}

function statusOf(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('$metadata' in error)) return undefined;
  const metadata = error.$metadata;
  if (typeof metadata !== 'object' || metadata === null || !('httpStatusCode' in metadata)) return undefined;
  return typeof metadata.httpStatusCode === 'number' ? metadata.httpStatusCode : undefined;
}

function describe(error: unknown, name: string, status: number | undefined): string {
  // More lines are hints for programmers.
  const [message = ''] = errorMessage(error).split('\n');
  const code = errorCode(error) ?? '';
  if (status === undefined) return code === '' || code === notS3 || message.includes(code) ? message : `${code}: ${message}`;
  const told = message === '' || message === 'UnknownError' || message === name ? name : `${name}: ${message}`;
  return `${status} ${told}`;
}
