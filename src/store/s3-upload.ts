/**
 * Writing an object. What fits into one part is one PUT; more is a multipart upload, a few parts at a time, so that memory is bounded whatever
 * the length. A conditional write that is refused after a try whose answer was lost may have been refused because of itself: every write
 * carries a name of its own in the metadata, which tells.
 */
import {randomUUID} from 'node:crypto';
import type {ObjectBody} from './object-store.ts';
import type {S3Client, UploadedPart} from './s3-client.ts';
import {type Problem, problemOf} from './s3-problem.ts';

const partsAtOnce = 4;
const firstBufferBytes = 64 * 1024;
/** A line of 2 Mbit/s is slow, not dead. */
const slowestBytesPerMs = 256;
/** Amazon puts large objects together for minutes before it answers. */
const completeTimeoutMs = 120_000;

export interface Upload {
  readonly client: S3Client;
  /** As the bucket has it. */
  readonly key: string;
  readonly body: ObjectBody;
  readonly ifAbsent: boolean;
  readonly signal: AbortSignal | undefined;
  readonly partBytes: number;
  /** Runs one request with time-outs and repetitions. */
  readonly request: <T>(start: (signal: AbortSignal, tried: number) => Promise<T>, options: RequestOptions) => Promise<T>;
  readonly onWritten: (sizeBytes: number) => void;
  /** An upload could not be taken back: its parts stay until the bucket's own rules remove them. */
  readonly onLeft: (error: unknown) => void;
}

export interface RequestOptions {
  /** More than the usual time until the answer. */
  readonly extraMs?: number;
  readonly signal?: AbortSignal | undefined;
}

/** @returns the size. Rejects with what the body or a request threw. */
export async function uploadObject(upload: Upload): Promise<number> {
  const parts = partsOf(upload.body, upload.partBytes, upload.signal);
  try {
    const {value: first = Buffer.alloc(0)} = await parts.next();
    const second = first.length < upload.partBytes ? undefined : await parts.next();
    if (second === undefined || second.done === true) return await putWhole(upload, first);
    return await putParts(upload, first, second.value, parts);
  } finally {
    await parts.return(undefined);
  }
}

/** Pieces of exactly `partBytes`, but for the last. */
async function* partsOf(body: ObjectBody, partBytes: number, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array, undefined> {
  if (body instanceof Uint8Array) {
    for (let at = 0; at < body.length; at += partBytes) yield body.subarray(at, at + partBytes);
    return;
  }
  let part = Buffer.allocUnsafeSlow(Math.min(firstBufferBytes, partBytes));
  let filled = 0;
  for await (const piece of body) {
    signal?.throwIfAborted();
    for (let at = 0; at < piece.length; ) {
      if (filled === partBytes) {
        yield part;
        part = Buffer.allocUnsafeSlow(partBytes);
        filled = 0;
      }
      if (filled === part.length) part = Buffer.concat([part], Math.min(partBytes, part.length * 2));
      const count = Math.min(part.length - filled, piece.length - at);
      part.set(piece.subarray(at, at + count), filled);
      filled += count;
      at += count;
    }
  }
  signal?.throwIfAborted();
  if (filled > 0) yield part.subarray(0, filled);
}

async function putWhole(upload: Upload, body: Uint8Array): Promise<number> {
  const {client, key, ifAbsent, signal} = upload;
  const writer = randomUUID();
  const sending = {signal, extraMs: body.length / slowestBytesPerMs};
  let tries = 0;
  try {
    await upload.request((abort, tried) => {
      tries = tried;
      return client.put({key, writer, ifAbsent, body}, abort);
    }, sending);
  } catch (error) {
    if (tries < 2 || problemOf(error).kind !== 'exists' || !(await isWrittenBy(upload, writer))) throw error;
  }
  upload.onWritten(body.length);
  return body.length;
}

async function isWrittenBy({client, key, request, signal}: Upload, writer: string): Promise<boolean> {
  try {
    return (await request((abort) => client.head(key, abort), {signal})).writer === writer;
  } catch (error) {
    if (problemOf(error).kind === 'not-found') return false;
    throw error;
  }
}

async function putParts(upload: Upload, first: Uint8Array, second: Uint8Array, rest: AsyncIterable<Uint8Array>): Promise<number> {
  const {client, key, signal} = upload;
  const writer = randomUUID();
  const id = await upload.request((abort) => client.createUpload({key, writer}, abort), {signal});
  try {
    const {parts, sizeBytes} = await sendParts(upload, id, inOrder(first, second, rest));
    await complete(upload, {id, writer, parts});
    return sizeBytes;
  } catch (error) {
    await takeBack(upload, id);
    throw error;
  }
}

async function* inOrder(first: Uint8Array, second: Uint8Array, rest: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield first;
  yield second;
  yield* rest;
}

/** The first failure ends the other parts as well; none is under way when this settles. */
async function sendParts(upload: Upload, id: string, bodies: AsyncIterable<Uint8Array>): Promise<{parts: readonly UploadedPart[]; sizeBytes: number}> {
  const failed = new AbortController();
  const signal = AbortSignal.any([failed.signal, ...(upload.signal === undefined ? [] : [upload.signal])]);
  const parts: Promise<UploadedPart>[] = [];
  const underWay = new Set<Promise<unknown>>();
  let sizeBytes = 0;
  try {
    for await (const body of bodies) {
      failed.signal.throwIfAborted();
      const number = parts.length + 1;
      const sending = upload.request((abort) => upload.client.uploadPart({key: upload.key, upload: id, number, body}, abort), {
        signal,
        extraMs: body.length / slowestBytesPerMs,
      });
      parts.push(sending);
      underWay.add(sending);
      sending.then(
        () => underWay.delete(sending),
        (error: unknown) => failed.abort(error),
      );
      sizeBytes += body.length;
      upload.onWritten(body.length);
      while (underWay.size >= partsAtOnce) await Promise.race(underWay);
    }
    return {parts: await Promise.all(parts), sizeBytes};
  } catch (error) {
    failed.abort(error);
    await Promise.allSettled(parts);
    throw error;
  }
}

/** What this may find after a lost answer: that the object is there, or that the upload is gone because it has become the object. */
async function complete(upload: Upload, {id, writer, parts}: {id: string; writer: string; parts: readonly UploadedPart[]}): Promise<void> {
  const {client, key, ifAbsent, signal} = upload;
  let tries = 0;
  try {
    await upload.request(
      (abort, tried) => {
        tries = tried;
        return client.completeUpload({key, upload: id, parts, ifAbsent}, abort);
      },
      {signal, extraMs: completeTimeoutMs},
    );
  } catch (error) {
    const explainable: readonly Problem['kind'][] = ['exists', 'no-upload'];
    if (tries > 1 && explainable.includes(problemOf(error).kind) && (await isWrittenBy(upload, writer))) return;
    throw error;
  }
}

/** With a time limit of its own: the caller's signal may be why we are here. */
async function takeBack(upload: Upload, id: string): Promise<void> {
  try {
    await upload.request((abort) => upload.client.abortUpload({key: upload.key, upload: id}, abort), {});
  } catch (error) {
    if (problemOf(error).kind !== 'no-upload') upload.onLeft(error);
  }
}
