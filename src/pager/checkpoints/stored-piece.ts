/**
 * A piece of an object that is compressed and sealed as one: a block of a segment, a frame of a bundle. Compression is zstd at a fast level,
 * and only where it saves an eighth; what looks like noise is not even tried, since an app stands still meanwhile.
 */
import {promisify} from 'node:util';
import {constants, type ZstdOptions, zstdCompress, zstdCompressSync, zstdDecompress, zstdDecompressSync} from 'node:zlib';
import {errorCode, errorMessage} from '../../core/errors.ts';
import {DamagedCheckpointError} from './damage.ts';
import type {ObjectCipher} from './sealing.ts';

export const rawCodec = 0;
export const zstdCodec = 1;

/** Plain data. */
export interface StoredPiece {
  /** In the object. */
  readonly position: number;
  readonly storedBytes: number;
  readonly plainBytes: number;
  readonly codec: number;
}

/** Where a piece is from: for the message of an error, and to open it. */
export interface PieceHome {
  readonly object: string;
  readonly generation?: number | undefined;
}

const compress = promisify(zstdCompress);
const decompress = promisify(zstdDecompress);
/** What little there is of is compressed with more effort: a few milliseconds save a tenth of a small sleep. */
const levels = {quick: 1, thorough: 6} as const;
export type Effort = keyof typeof levels;
/** Compressing must leave at most this part. */
const worthwhile = 7 / 8;
/** Bits per byte in a sample from which on a piece counts as noise; random bytes have 7.8 and more in samples of this size and of half of it. */
const noiseBits = 7.6;
const sampleBytes = 2048;
/** What is repeated is even too; this much shows it. */
const trialBytes = 4096;
/** Pieces up to the size of a frame are decoded at once, in a millisecond at most: on a busy machine, handing them to another thread takes several times that. */
const smallBytes = 1024 * 1024;

/** @returns `plain` itself when it is stored raw */
export async function compressPiece(plain: Uint8Array, effort: Effort = 'quick'): Promise<{readonly codec: number; readonly data: Uint8Array}> {
  if (plain.length === 0 || isNoise(plain)) return {codec: rawCodec, data: plain};
  const data = await compress(plain, options(plain, effort));
  return data.length <= plain.length * worthwhile ? {codec: zstdCodec, data} : {codec: rawCodec, data: plain};
}

/** Whether compressing would most likely be in vain: the bytes are spread evenly, and a part in the middle cannot be compressed either. */
export function isNoise(data: Uint8Array): boolean {
  if (!isEven(data)) return false;
  const start = Math.floor((data.length - trialBytes) / 2);
  const trial = data.length <= trialBytes ? data : data.subarray(start, start + trialBytes);
  return zstdCompressSync(trial, options(trial, 'quick')).length > trial.length * worthwhile;
}

function isEven(data: Uint8Array): boolean {
  // An odd distance, since memory is full of structures of even sizes.
  const step = Math.floor(data.length / sampleBytes) | 1;
  const counts = new Uint16Array(256);
  let taken = 0;
  for (let at = 0; at < data.length && taken < sampleBytes; at += step, taken++) {
    const byte = data[at] ?? 0;
    counts[byte] = (counts[byte] ?? 0) + 1;
  }
  let sum = 0;
  for (const count of counts) if (count > 0) sum += count * Math.log2(count);
  return taken > sampleBytes / 2 && Math.log2(taken) - sum / taken > noiseBits;
}

/** A size that is known beforehand makes the compressor fit itself to it. */
function options({length}: Uint8Array, effort: Effort): ZstdOptions & {readonly pledgedSrcSize: number} {
  return {chunkSize: length + 1024, pledgedSrcSize: length, params: {[constants.ZSTD_c_compressionLevel]: levels[effort]}};
}

/** May return a part of `stored`. @throws DamagedCheckpointError */
export function decodePieceSync(stored: Uint8Array, piece: StoredPiece, home: PieceHome, cipher: ObjectCipher | undefined): Uint8Array {
  const opened = openPiece(stored, piece, home, cipher);
  if (piece.codec === rawCodec) return checkLength(opened, piece, home);
  try {
    return checkLength(zstdDecompressSync(opened, limits(piece)), piece, home);
  } catch (cause) {
    throw decodingError(cause, piece, home);
  }
}

/** The same, with long work on another thread. @throws DamagedCheckpointError */
export async function decodePiece(stored: Uint8Array, piece: StoredPiece, home: PieceHome, cipher: ObjectCipher | undefined): Promise<Uint8Array> {
  if (piece.codec === rawCodec || piece.plainBytes <= smallBytes) return decodePieceSync(stored, piece, home, cipher);
  const opened = openPiece(stored, piece, home, cipher);
  try {
    return checkLength(await decompress(opened, limits(piece)), piece, home);
  } catch (cause) {
    throw decodingError(cause, piece, home);
  }
}

function openPiece(stored: Uint8Array, piece: StoredPiece, home: PieceHome, cipher: ObjectCipher | undefined): Uint8Array {
  if (piece.codec !== rawCodec && piece.codec !== zstdCodec) throw damaged(piece, home, `a piece of codec ${piece.codec} is unknown`);
  const opened = cipher === undefined ? stored : cipher.decrypt(piece.position, stored);
  if (opened === undefined) throw damaged(piece, home, `the seal of ${piece.storedBytes} bytes is broken`);
  return opened;
}

/** What is not ours must not be able to fill the memory. */
function limits({plainBytes}: StoredPiece): {chunkSize: number; maxOutputLength: number} {
  return {chunkSize: Math.max(64, plainBytes), maxOutputLength: Math.max(64, plainBytes)};
}

function checkLength(plain: Uint8Array, piece: StoredPiece, home: PieceHome): Uint8Array {
  if (plain.length === piece.plainBytes) return plain;
  throw damaged(piece, home, `${piece.storedBytes} bytes hold ${plain.length} instead of ${piece.plainBytes}`);
}

/** Whether memory was short says nothing about the object. */
function decodingError(cause: unknown, piece: StoredPiece, home: PieceHome): unknown {
  if (cause instanceof DamagedCheckpointError) return cause;
  const code = errorCode(cause) ?? '';
  const isDamage = code === 'ERR_BUFFER_TOO_LARGE' || code.startsWith('Z_') || (code.startsWith('ZSTD_error_') && code !== 'ZSTD_error_memory_allocation');
  return isDamage ? damaged(piece, home, `${piece.storedBytes} bytes cannot be decompressed: ${errorMessage(cause)}`, cause) : cause;
}

function damaged({position}: StoredPiece, {object, generation}: PieceHome, found: string, cause?: unknown): DamagedCheckpointError {
  return new DamagedCheckpointError({object, generation, offset: position, found, cause});
}
