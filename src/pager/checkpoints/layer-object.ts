/**
 * A layer of files as one object: a head that says whose it is, and the records of layer-records.ts in frames, each compressed and sealed as
 * one. Written and read from the beginning to the end, in a bounded part of memory. It carries its checksums itself, since a generation that
 * names the layer is complete before anybody has read the files.
 *
 *   head    magic, u32 version, u32 length of what follows, u32 CRC-32 of all that but itself; then JSON
 *   frames  u32 stored bytes, u32 plain bytes, u32 codec, u32 CRC-32 of these three and of the stored bytes; then those
 *
 * The last frame ends with the record that closes the root directory: of an object that is cut short this is missing.
 */
import {crc32} from 'node:zlib';
import {CodedError} from '../../core/errors.ts';
import {parseJson} from '../../store/json.ts';
import {DamagedCheckpointError} from './damage.ts';
import type {ByteSource} from './layer-records.ts';
import {keyId, newSalt, type ObjectCipher, objectCipher} from './sealing.ts';
import {compressPiece, decodePiece} from './stored-piece.ts';

const magic = 'PICOLAYR';
const formatVersion = 1;
const headBytes = 20;
const frameHeadBytes = 16;
/** Of plain bytes in a frame. */
const frameBytes = 1024 * 1024;
/** Far above what occurs; what claims to be longer is not ours. */
const lengthMax = 2 * frameBytes;

export interface LayerName {
  readonly app: string;
  readonly layer: string;
  /** Of the object. */
  readonly key: string;
}

/** @param dataKey of the app; undefined when it has none */
export async function* layerBody(name: LayerName, records: AsyncIterable<Uint8Array>, dataKey: Uint8Array | undefined): AsyncGenerator<Uint8Array, undefined> {
  const salt = newSalt();
  const cipher = dataKey === undefined ? undefined : objectCipher({dataKey, salt, object: name.key});
  const head = renderHead(name, dataKey === undefined ? null : {keyId: keyId(dataKey), salt: salt.toString('hex')});
  yield head;
  let position = head.length;
  const plain = Buffer.allocUnsafeSlow(frameBytes);
  let filled = 0;
  for await (const piece of records) {
    for (let taken = 0; taken < piece.length; ) {
      const part = piece.subarray(taken, taken + frameBytes - filled);
      plain.set(part, filled);
      filled += part.length;
      taken += part.length;
      if (filled < frameBytes) continue;
      const frame = await renderFrame(plain, position, cipher);
      yield frame;
      position += frame.length;
      filled = 0;
    }
  }
  if (filled > 0) yield await renderFrame(plain.subarray(0, filled), position, cipher);
  return undefined;
}

interface Seal {
  readonly keyId: string;
  readonly salt: string;
}

function renderHead({app, layer}: LayerName, sealed: Seal | null): Buffer {
  const json = Buffer.from(JSON.stringify({app, layer, sealed}));
  const head = Buffer.alloc(headBytes);
  head.write(magic, 'latin1');
  head.writeUInt32LE(formatVersion, 8);
  head.writeUInt32LE(json.length, 12);
  head.writeUInt32LE(crc32(json, crc32(head.subarray(0, 16))), 16);
  return Buffer.concat([head, json]);
}

async function renderFrame(plain: Buffer, position: number, cipher: ObjectCipher | undefined): Promise<Buffer> {
  const {codec, data} = await compressPiece(plain);
  const stored = cipher === undefined ? data : cipher.encrypt(position + frameHeadBytes, data);
  const head = Buffer.alloc(frameHeadBytes);
  head.writeUInt32LE(stored.length);
  head.writeUInt32LE(plain.length, 4);
  head.writeUInt32LE(codec, 8);
  head.writeUInt32LE(crc32(stored, crc32(head.subarray(0, 12))), 12);
  return Buffer.concat([head, stored]);
}

export interface LayerSource {
  readonly name: LayerName;
  /** Pieces of the object in order. */
  readonly pieces: AsyncIterable<Buffer>;
  /** @throws CodedError ERR_WRONG_KEY */
  readonly dataKey: (wanted: {readonly object: string; readonly keyId: string}) => Promise<Uint8Array>;
}

/** Reads the records out of an object, checking each frame before anything of it is given away. */
export class LayerReader implements ByteSource, AsyncDisposable {
  readonly #source: LayerSource;
  readonly #pieces: AsyncIterator<Buffer>;
  /** Of the object, as far as it has come and is not taken yet. */
  #stored: Buffer = Buffer.alloc(0);
  #position = 0;
  #plain: Buffer = Buffer.alloc(0);
  #framePosition = 0;
  /** Undefined until the head has been read. */
  #head: {readonly cipher: ObjectCipher | undefined} | undefined;

  constructor(source: LayerSource) {
    this.#source = source;
    this.#pieces = source.pieces[Symbol.asyncIterator]();
  }

  async read(length: number): Promise<Buffer> {
    while (this.#plain.length < length) {
      const frame = await this.#frame();
      this.#plain = this.#plain.length === 0 ? frame : Buffer.concat([this.#plain, frame]);
    }
    const taken = this.#plain.subarray(0, length);
    this.#plain = this.#plain.subarray(length);
    return taken;
  }

  /** To be called when all records were read. @throws DamagedCheckpointError when the object does not end here */
  async end(): Promise<void> {
    if (this.#plain.length > 0 || this.#stored.length > 0 || (await this.#pieces.next()).done !== true)
      throw this.#damagedAt(this.#position, 'it goes on after its end');
  }

  damaged(found: string, cause?: unknown): DamagedCheckpointError {
    return this.#damagedAt(this.#framePosition, found, cause);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pieces.return?.();
  }

  #damagedAt(offset: number, found: string, cause?: unknown): DamagedCheckpointError {
    return new DamagedCheckpointError({object: this.#source.name.key, offset, found, cause});
  }

  async #take(length: number): Promise<Buffer> {
    const parts = [this.#stored];
    let there = this.#stored.length;
    while (there < length) {
      const next = await this.#pieces.next();
      if (next.done === true) throw this.#damagedAt(this.#position + there, 'it ends in the middle');
      parts.push(next.value);
      there += next.value.length;
    }
    const all = parts.length === 1 ? this.#stored : Buffer.concat(parts);
    this.#stored = all.subarray(length);
    this.#position += length;
    return all.subarray(0, length);
  }

  async #frame(): Promise<Buffer> {
    this.#head ??= {cipher: await this.#readHead()};
    this.#framePosition = this.#position;
    const head = await this.#take(frameHeadBytes);
    const [storedBytes, plainBytes, codec, checksum] = [head.readUInt32LE(), head.readUInt32LE(4), head.readUInt32LE(8), head.readUInt32LE(12)];
    if (storedBytes > lengthMax || plainBytes > lengthMax || plainBytes === 0) throw this.damaged('a frame has no possible length');
    const position = this.#position;
    const stored = await this.#take(storedBytes);
    if (crc32(stored, crc32(head.subarray(0, 12))) !== checksum) throw this.damaged(`the checksum of ${storedBytes} bytes is wrong`);
    const {key} = this.#source.name;
    const plain = await decodePiece(stored, {position, storedBytes, plainBytes, codec}, {object: key}, this.#head.cipher);
    return Buffer.from(plain.buffer, plain.byteOffset, plain.byteLength);
  }

  async #readHead(): Promise<ObjectCipher | undefined> {
    const {app, layer, key} = this.#source.name;
    const head = await this.#take(headBytes);
    const length = head.readUInt32LE(12);
    if (head.toString('latin1', 0, 8) !== magic || length > lengthMax) throw this.#damagedAt(0, 'it is not a layer');
    const json = await this.#take(length);
    if (crc32(json, crc32(head.subarray(0, 16))) !== head.readUInt32LE(16)) throw this.#damagedAt(0, 'the checksum of its head is wrong');
    if (head.readUInt32LE(8) !== formatVersion) {
      const said = `it has format ${head.readUInt32LE(8)}, this version of Picogate reads ${formatVersion}`;
      throw new CodedError('ERR_UNKNOWN_FORMAT', `Cannot read object "${key}": ${said}`, {source: 'host'});
    }
    // The checksum says that we wrote it.
    const found = parseJson(json.toString('utf8')) as unknown as {app: string; layer: string; sealed: Seal | null};
    if (found.app !== app || found.layer !== layer) throw this.#damagedAt(headBytes, `it is layer "${found.layer}" of app "${found.app}"`);
    if (found.sealed === null) return undefined;
    const dataKey = await this.#source.dataKey({object: key, keyId: found.sealed.keyId});
    return objectCipher({dataKey, salt: Buffer.from(found.sealed.salt, 'hex'), object: key});
  }
}
