/** The body of an answer that came in chunks, each character of which is a byte. */
export function joinChunks(chunks: string): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; ; ) {
    const end = chunks.indexOf('\r\n', at);
    const size = Number.parseInt(chunks.slice(at, end), 16);
    if (!(size > 0)) return Buffer.concat(parts);
    parts.push(Buffer.from(chunks.slice(end + 2, end + 2 + size), 'latin1'));
    at = end + 4 + size;
  }
}
