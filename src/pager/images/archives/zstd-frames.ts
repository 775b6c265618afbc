/** Zstandard data of several frames, as `zstd:chunked` layers and concatenated files are: Node's decompressor ends silently after the first one. */
import {Readable} from 'node:stream';
import {createZstdDecompress} from 'node:zlib';
import {ByteReader, badArchive} from './byte-reader.ts';

const frameMagic = 0xfd2fb528;
const skippableMagic = 0x184d2a50;
const dictionaryBytes = [0, 1, 2, 4] as const;
const contentSizeBytes = [0, 2, 4, 8] as const;

/** @throws CodedError ERR_BAD_ARCHIVE; errors of zlib */
export async function* unzstd(source: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer, void, void> {
  const reader = new ByteReader(source);
  try {
    for (;;) {
      const position = reader.position;
      const magic = await reader.exactly(4);
      if (magic === undefined) return;
      const number = magic.readUInt32LE();
      if (number === frameMagic) yield* decompressed(frame(reader, magic));
      else if ((number & 0xfffffff0) === skippableMagic) await reader.skip((await reader.needed(4)).readUInt32LE());
      else throw badArchive(position, 'there is no frame of zstd');
    }
  } finally {
    await reader.close();
  }
}

async function* decompressed(compressed: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, void> {
  const input = Readable.from(compressed, {objectMode: false});
  const output = createZstdDecompress();
  input.once('error', (error) => output.destroy(error));
  try {
    yield* input.pipe(output) as AsyncIterable<Buffer>;
  } finally {
    input.destroy();
    output.destroy();
  }
}

/** The bytes of one frame, by the lengths of its blocks (RFC 8878, section 3.1.1). */
async function* frame(reader: ByteReader, magic: Buffer): AsyncGenerator<Buffer, void, void> {
  const descriptor = await reader.needed(1);
  const [flags = 0] = descriptor;
  const isSingleSegment = (flags & 0x20) !== 0;
  const sizeFlag = flags >> 6;
  const sizeBytes = sizeFlag === 0 && isSingleSegment ? 1 : (contentSizeBytes[sizeFlag] ?? 0);
  yield Buffer.concat([magic, descriptor, await reader.needed((isSingleSegment ? 0 : 1) + (dictionaryBytes[flags & 3] ?? 0) + sizeBytes)]);
  for (let isLast = false; !isLast; ) {
    const header = await reader.needed(3);
    const number = header.readUIntLE(0, 3);
    isLast = (number & 1) === 1;
    const isRepeated = ((number >> 1) & 3) === 1;
    yield Buffer.concat([header, await reader.needed(isRepeated ? 1 : number >> 3)]);
  }
  if ((flags & 4) !== 0) yield await reader.needed(4);
}
