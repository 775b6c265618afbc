/** Messages in a stream of bytes, each behind its length in two bytes (RFC 1035, 4.2.2); however the stream is cut. */

/**
 * @param onMessage is given each message, which is valid after the call too; false ends the reading
 * @returns takes the bytes as they come; at most one message is kept
 */
export function readFrames(onMessage: (message: Buffer) => boolean): (chunk: Buffer) => void {
  let kept: Buffer | null = null;
  let ended = false;
  return (chunk) => {
    if (ended) return;
    const bytes: Buffer = kept === null ? chunk : Buffer.concat([kept, chunk]);
    let at = 0;
    while (at + 2 <= bytes.length) {
      const end = at + 2 + bytes.readUInt16BE(at);
      if (end > bytes.length) break;
      if (!onMessage(bytes.subarray(at + 2, end))) {
        ended = true;
        kept = null;
        return;
      }
      at = end;
    }
    kept = at < bytes.length ? bytes.subarray(at) : null;
  };
}

export function frame(message: Uint8Array): Buffer {
  const framed = Buffer.allocUnsafe(2 + message.length);
  framed.writeUInt16BE(message.length, 0);
  framed.set(message, 2);
  return framed;
}
