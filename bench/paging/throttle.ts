import {Transform} from 'node:stream';
import {setTimeout as sleep} from 'node:timers/promises';

/** So much may come at once after a pause: what a timer of a millisecond is worth. */
const burstMs = 1;
/** Chunks are cut, so that a large one does not come at once. */
const pieceBytes = 64 * 1024;

/** A line over which no more than so many bytes per second come. @returns resolves when so many more would have come */
function slowLine(bytesPerSecond: number): (length: number) => Promise<void> {
  /** When the last piece would have come over the line. */
  let arrivedMs = performance.now();
  return async (length) => {
    arrivedMs = Math.max(arrivedMs, performance.now() - burstMs) + (length * 1000) / bytesPerSecond;
    const earlyMs = arrivedMs - performance.now();
    if (earlyMs > burstMs) await sleep(earlyMs);
  };
}

/** A stream that is as slow. @param seen is told of what has come through */
export function throttle(bytesPerSecond: number, seen: (length: number) => void): Transform {
  const arrival = slowLine(bytesPerSecond);
  const pass = async (chunk: Buffer, stream: Transform): Promise<void> => {
    for (let at = 0; at < chunk.length; at += pieceBytes) {
      const piece = chunk.subarray(at, at + pieceBytes);
      await arrival(piece.length);
      seen(piece.length);
      stream.push(piece);
    }
  };
  return new Transform({
    transform(chunk: Buffer, _, done) {
      pass(chunk, this).then(() => done(), done);
    },
  });
}
