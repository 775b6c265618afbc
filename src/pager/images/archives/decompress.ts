/** What a stream holds once it is decompressed, whichever of the usual ways it was compressed in; told apart by its first bytes. */
import {Readable} from 'node:stream';
import {createGunzip} from 'node:zlib';
import {startDaemon} from '../../../core/command.ts';
import {CodedError, errorCode, errorMessage} from '../../../core/errors.ts';
import {unzstd} from './zstd-frames.ts';

export type Compression = 'none' | 'gzip' | 'zstd' | 'xz' | 'bzip2';

const signatures: readonly (readonly [Compression, RegExp])[] = [
  ['gzip', /^\x1f\x8b/],
  // A frame, or one that is to be skipped.
  ['zstd', /^(?:\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18)/],
  ['xz', /^\xfd7zXZ\0/],
  ['bzip2', /^BZh/],
];

/** @param head the first bytes, six or all there are */
export function compressionOf(head: Uint8Array): Compression {
  const text = Buffer.from(head).toString('latin1');
  return signatures.find(([, signature]) => signature.test(text))?.[0] ?? 'none';
}

/** @throws CodedError ERR_BAD_ARCHIVE when it is damaged, ERR_COMMAND_MISSING for xz and bzip2 without their program; whatever the source throws */
export async function* decompress(source: AsyncIterable<Uint8Array>, compression: Compression): AsyncGenerator<Uint8Array, void, void> {
  switch (compression) {
    case 'none':
      yield* source;
      return;
    case 'gzip':
      yield* gunzip(source);
      return;
    case 'zstd':
      yield* explained('zstd', unzstd(source));
      return;
    case 'xz':
    case 'bzip2':
      yield* filtered(source, compression);
      return;
    default:
      compression satisfies never;
  }
}

async function* gunzip(source: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer, void, void> {
  const input = Readable.from(source, {objectMode: false});
  const output = createGunzip();
  input.once('error', (error) => output.destroy(error));
  try {
    yield* explained('gzip', input.pipe(output));
  } finally {
    input.destroy();
    output.destroy();
  }
}

async function* explained(format: string, data: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, void> {
  try {
    yield* data;
  } catch (cause) {
    const code = errorCode(cause) ?? '';
    if (!/^(?:Z_|ZSTD_|ERR_ZSTD|ERR_ZLIB)/.test(code)) throw cause;
    throw new CodedError('ERR_BAD_ARCHIVE', `its ${format} data cannot be decompressed (${errorMessage(cause)})`, {source: 'client', cause});
  }
}

/** Through a program: Node has no decompressor for these. */
async function* filtered(source: AsyncIterable<Uint8Array>, program: 'xz' | 'bzip2'): AsyncGenerator<Uint8Array, void, void> {
  await using daemon = await startDaemon([program, '--decompress', '--stdout'], {stdio: ['pipe', 'pipe', 'pipe']});
  const {stdin, stdout} = daemon.child;
  const input = Readable.from(source, {objectMode: false});
  const problem: {cause?: Error} = {};
  input.once('error', (error) => {
    problem.cause = error;
    stdin?.destroy();
  });
  stdin?.on('error', () => undefined); // A program that ends before its input says why by its status.
  if (stdin !== null) input.pipe(stdin);
  try {
    if (stdout !== null) yield* stdout as AsyncIterable<Buffer>;
    if (problem.cause !== undefined) throw problem.cause;
    const {exitCode, stderr} = await daemon.exited;
    if (exitCode !== 0) {
      throw new CodedError('ERR_BAD_ARCHIVE', `its ${program} data cannot be decompressed (${stderr.trim()})`, {source: 'client'});
    }
  } finally {
    input.destroy();
  }
}
