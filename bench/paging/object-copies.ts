/**
 * Copies of the objects of an S3 server in local files. The server of the tests reads a whole object for a range of it, and takes 50 ms and
 * more for that, several times as much for several ranges at once: it would be measured, not the gateway. What is stored, refused, listed and
 * removed is still its decision: a copy is made of what it gives after each write.
 */
import {createWriteStream} from 'node:fs';
import {rm, stat} from 'node:fs/promises';
import {type Agent, request} from 'node:http';
import {join} from 'node:path';
import {pipeline} from 'node:stream/promises';

export interface ByteRange {
  readonly start: number;
  /** Not part of it. */
  readonly end: number;
}

export interface ObjectCopy {
  readonly sizeBytes: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly file: string;
}

export interface ObjectCopiesOptions {
  readonly directory: string;
  readonly upstream: URL;
  readonly agent: Agent;
}

const keptHeaders: ReadonlySet<string> = new Set(['etag', 'last-modified', 'content-type']);
const metadataPrefix = 'x-amz-meta-';

export class ObjectCopies {
  readonly #options: ObjectCopiesOptions;
  readonly #copies = new Map<string, ObjectCopy>();
  #made = 0;

  /** @param options.directory exists, and is removed by the caller */
  constructor(options: ObjectCopiesOptions) {
    this.#options = options;
  }

  get(path: string): ObjectCopy | undefined {
    return this.#copies.get(path);
  }

  async forget(path: string): Promise<void> {
    const copy = this.#copies.get(path);
    this.#copies.delete(path);
    if (copy !== undefined) await rm(copy.file, {force: true});
  }

  /** Copies the object as it is now; without one there is no copy. @param authorization of a request that was allowed to write it */
  async renew(path: string, authorization: string): Promise<void> {
    await this.forget(path);
    const {directory, upstream, agent} = this.#options;
    const file = join(directory, String(this.#made++));
    const headers: Record<string, string> = {};
    const found = await new Promise<boolean>((resolve, reject) => {
      const asked = request({host: upstream.hostname, port: upstream.port, agent, path, headers: {authorization, host: upstream.host}}, (answer) => {
        if (answer.statusCode !== 200) {
          answer.resume();
          answer.once('end', () => resolve(false));
          answer.once('error', reject);
          return;
        }
        for (const [name, value] of Object.entries(answer.headers))
          if (typeof value === 'string' && (keptHeaders.has(name) || name.startsWith(metadataPrefix))) headers[name] = value;
        pipeline(answer, createWriteStream(file)).then(() => resolve(true), reject);
      });
      asked.once('error', reject);
      asked.end();
    });
    if (found) this.#copies.set(path, {file, headers, sizeBytes: (await stat(file)).size});
  }
}

/** Of a `Range` header: null when there is none that counts, 'unsatisfiable' when nothing of it exists (RFC 9110, 14.1.2). */
export function parseRange(header: string | undefined, sizeBytes: number): ByteRange | 'unsatisfiable' | null {
  const [, first, last] = /^bytes=(\d*)-(\d*)$/.exec(header ?? '') ?? [];
  if (first === undefined || last === undefined || (first === '' && last === '')) return null;
  if (first === '') return Number(last) === 0 ? 'unsatisfiable' : {start: Math.max(0, sizeBytes - Number(last)), end: sizeBytes};
  const start = Number(first);
  if (start >= sizeBytes) return 'unsatisfiable';
  return {start, end: last === '' ? sizeBytes : Math.min(Number(last) + 1, sizeBytes)};
}
