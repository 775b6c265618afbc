/**
 * The requests of S3 that the store needs, one each, through the client of AWS, which signs them; GETs only in part (s3-signed-get.ts). It is imported when a store is opened: that
 * takes 150 ms and 22 MB. It neither repeats requests nor measures time here: the store does, in one place, because only the store can tell
 * whether a conditional PUT that is refused was its own first try.
 */
import {Agent as HttpAgent} from 'node:http';
import {Agent as HttpsAgent} from 'node:https';
import {Readable} from 'node:stream';
import type * as Sdk from '@aws-sdk/client-s3';
import {CodedError, errorMessage} from '../core/errors.ts';
import type {ByteRange} from './object-store.ts';
import {type AnswerReader, answerOf} from './s3-answer.ts';
import type {S3Limits, S3StoreOptions} from './s3-options.ts';
import {notS3} from './s3-problem.ts';
import {rangeHeader, SignedGets, signedSeconds} from './s3-signed-get.ts';
import {UrlSigner} from './s3-url-signer.ts';

/** Who wrote an object: found out by the writer that does not know whether its PUT arrived. */
const writerField = 'picogate-put';
const agentOptions = {keepAlive: true, maxSockets: 64} as const;
/** For servers that are not Amazon's, which ignore it but have to get one. */
const defaultRegion = 'us-east-1';

export interface UploadedPart {
  readonly number: number;
  readonly etag: string;
  readonly crc32: string | undefined;
}

interface Writing {
  readonly key: string;
  /** A name of its own for each write. */
  readonly writer: string;
  readonly ifAbsent: boolean;
}

/** Every method makes one request and rejects with what the client of AWS throws; keys are those of the bucket. */
export interface S3Client extends Disposable {
  /** Resolves with what `begin` gave, filled. */
  get(key: string, range: ByteRange | undefined, reader: AnswerReader): Promise<Buffer>;
  head(key: string, signal: AbortSignal): Promise<{readonly sizeBytes: number; readonly writer: string | undefined}>;
  put(request: Writing & {readonly body: Uint8Array}, signal: AbortSignal): Promise<void>;
  delete(key: string, signal: AbortSignal): Promise<void>;
  list(request: ListRequest, signal: AbortSignal): Promise<ListAnswer>;
  createUpload(request: Omit<Writing, 'ifAbsent'>, signal: AbortSignal): Promise<string>;
  uploadPart(request: {key: string; upload: string; number: number; body: Uint8Array}, signal: AbortSignal): Promise<UploadedPart>;
  completeUpload(request: {key: string; upload: string; parts: readonly UploadedPart[]; ifAbsent: boolean}, signal: AbortSignal): Promise<void>;
  abortUpload(request: {key: string; upload: string}, signal: AbortSignal): Promise<void>;
}

export interface ListRequest {
  readonly prefix: string;
  readonly after: string | undefined;
  readonly limit?: number;
}

export interface ListAnswer {
  readonly objects: readonly {readonly key: string; readonly sizeBytes: number}[];
  /** Undefined at the end. */
  readonly next: string | undefined;
}

/** @throws CodedError ERR_S3_REGION when there is no region anywhere */
export async function openS3Client(options: S3StoreOptions, limits: S3Limits): Promise<S3Client> {
  const [sdk, {getSignedUrl}] = await Promise.all([import('@aws-sdk/client-s3'), import('@aws-sdk/s3-request-presigner')]);
  const agents = {http: new HttpAgent(agentOptions), https: new HttpsAgent(agentOptions)};
  const client = await clientWithRegion(sdk, {options, limits, agents});
  const bucket = {Bucket: options.bucket};
  const signer = new UrlSigner({
    sign: (key) => getSignedUrl(client, new sdk.GetObjectCommand({...bucket, Key: key}), {expiresIn: signedSeconds}),
    credentials: () => client.config.credentials(),
    nowMs: Date.now,
  });
  const signedGets = new SignedGets({sign: (key) => signer.sign(key), connectTimeoutMs: limits.connectTimeoutMs});
  const absent = (ifAbsent: boolean): {IfNoneMatch?: '*'} => (ifAbsent ? {IfNoneMatch: '*'} : {});
  return {
    async get(key, range, reader) {
      const data = await signedGets.get(key, range, reader);
      if (data !== undefined) return data;
      const Range = rangeHeader(range);
      const request = new sdk.GetObjectCommand({...bucket, Key: key, ...(Range === undefined ? {} : {Range})});
      return readAnswer(await client.send(request, {abortSignal: reader.signal}), reader);
    },
    async head(key, abortSignal) {
      const {ContentLength = 0, Metadata = {}, ETag} = await client.send(new sdk.HeadObjectCommand({...bucket, Key: key}), {abortSignal});
      requireOf('HEAD', ETag);
      return {sizeBytes: ContentLength, writer: Metadata[writerField]};
    },
    async put({key, writer, ifAbsent, body}, abortSignal) {
      const request = {...bucket, Key: key, Body: body, ContentLength: body.length, Metadata: {[writerField]: writer}, ...absent(ifAbsent)};
      requireOf('PUT', (await client.send(new sdk.PutObjectCommand(request), {abortSignal})).ETag);
    },
    async delete(key, abortSignal) {
      await client.send(new sdk.DeleteObjectCommand({...bucket, Key: key}), {abortSignal});
    },
    async list({prefix, after, limit}, abortSignal) {
      const request = {...bucket, Prefix: prefix, ContinuationToken: after, MaxKeys: limit};
      const {Contents = [], NextContinuationToken, IsTruncated, Name} = await client.send(new sdk.ListObjectsV2Command(request), {abortSignal});
      requireOf('LIST', Name);
      const objects = Contents.map(({Key = '', Size = 0}) => ({key: Key, sizeBytes: Size}));
      return {objects, next: IsTruncated === true ? NextContinuationToken : undefined};
    },
    async createUpload({key, writer}, abortSignal) {
      const request = {...bucket, Key: key, Metadata: {[writerField]: writer}};
      const {UploadId} = await client.send(new sdk.CreateMultipartUploadCommand(request), {abortSignal});
      return requireOf('CreateMultipartUpload', UploadId);
    },
    async uploadPart({key, upload, number, body}, abortSignal) {
      const request = {...bucket, Key: key, UploadId: upload, PartNumber: number, Body: body, ContentLength: body.length};
      const {ETag, ChecksumCRC32} = await client.send(new sdk.UploadPartCommand(request), {abortSignal});
      return {number, etag: requireOf('UploadPart', ETag), crc32: ChecksumCRC32};
    },
    async completeUpload({key, upload, parts, ifAbsent}, abortSignal) {
      const Parts = parts.map(({number, etag, crc32}) => ({PartNumber: number, ETag: etag, ...(crc32 === undefined ? {} : {ChecksumCRC32: crc32})}));
      const request = {...bucket, Key: key, UploadId: upload, MultipartUpload: {Parts}, ...absent(ifAbsent)};
      requireOf('CompleteMultipartUpload', (await client.send(new sdk.CompleteMultipartUploadCommand(request), {abortSignal})).ETag);
    },
    async abortUpload({key, upload}, abortSignal) {
      await client.send(new sdk.AbortMultipartUploadCommand({...bucket, Key: key, UploadId: upload}), {abortSignal});
    },
    [Symbol.dispose]() {
      signedGets[Symbol.dispose]();
      client.destroy();
    },
  };
}

interface ClientOptions {
  readonly options: S3StoreOptions;
  readonly limits: S3Limits;
  readonly agents: {readonly http: HttpAgent; readonly https: HttpsAgent};
}

async function clientWithRegion(sdk: typeof Sdk, clientOptions: ClientOptions): Promise<Sdk.S3Client> {
  const {options} = clientOptions;
  const client = new sdk.S3Client(settings(clientOptions, options.region));
  try {
    await client.config.region();
    return client;
  } catch (error) {
    client.destroy();
    if (options.endpoint !== null) return new sdk.S3Client(settings(clientOptions, defaultRegion));
    const found = `no region is known (${errorMessage(error)}); write 'region REGION' after 'store s3://...' or set AWS_REGION`;
    throw new CodedError('ERR_S3_REGION', `Cannot use bucket "${options.bucket}": ${found}`, {source: 'host', cause: error});
  }
}

function settings({options: {endpoint, pathStyle, log}, limits, agents}: ClientOptions, region: string | null): Sdk.S3ClientConfig {
  const report = (...said: unknown[]): void => log.debug({said: said.map(String)}, 'the client of S3');
  return {
    ...(region === null ? {} : {region}),
    ...(endpoint === null ? {} : {endpoint}),
    forcePathStyle: pathStyle,
    maxAttempts: 1,
    // What is sent carries a CRC32, which the server checks; what is read has checksums of its own, per page and per object.
    requestChecksumCalculation: 'WHEN_SUPPORTED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    // Servers that do not answer `Expect: 100-continue` would cost 6 s for each large PUT.
    expectContinueHeader: false,
    requestHandler: {connectionTimeout: limits.connectTimeoutMs, httpAgent: agents.http, httpsAgent: agents.https},
    logger: {trace: () => undefined, debug: () => undefined, info: () => undefined, warn: report, error: report},
  };
}

async function readAnswer({Body, ContentLength, ContentRange, ETag}: Sdk.GetObjectCommandOutput, {signal, begin, arrived}: AnswerReader): Promise<Buffer> {
  if (!(Body instanceof Readable)) throw noAnswerOfS3('GET');
  const stop = (): void => void Body.destroy();
  signal.addEventListener('abort', stop, {once: true});
  try {
    if (ContentLength === undefined || ETag === undefined) throw noAnswerOfS3('GET');
    const data = begin(answerOf(ContentLength, ContentRange));
    let filled = 0;
    for await (const piece of Body as AsyncIterable<Buffer>) {
      // Who has stopped may use the memory for something else.
      signal.throwIfAborted();
      const copied = piece.copy(data, filled);
      filled += copied;
      arrived(copied);
    }
    signal.throwIfAborted();
    if (filled === ContentLength) return data;
    throw Object.assign(new Error(`the answer ended after ${filled} of ${ContentLength} bytes`), {code: 'ECONNRESET'});
  } finally {
    signal.removeEventListener('abort', stop);
    Body.destroy();
  }
}

/**
 * What S3 says in each such answer. Something else at that address may answer anything with 200: an object that it does not have must not
 * count as stored, nor its empty page as an empty list.
 */
function requireOf(request: string, said: string | undefined): string {
  if (said === undefined) throw noAnswerOfS3(request);
  return said;
}

function noAnswerOfS3(request: string): CodedError {
  return new CodedError(notS3, `what answers is no server of S3, as its answer to ${request} shows; see 'endpoint' in the configuration`, {source: 'host'});
}
