/** Files of `tls-ticket-keys`: keys in base64, one a line, of which the last but one makes tickets. */

/** How many of them count: those of before, of now, and of next time. */
export const keptTicketKeys = 3;
/** A name, a key for AES-128, and one for HMAC. */
export const ticketKeyBytes = 48;
/** With keys for AES-256. */
const longKeyBytes = 80;

export type TicketKeysText = {readonly ok: true; readonly keys: readonly Buffer[]} | {readonly ok: false; readonly reason: string};

/** Null: the text is not base64. */
export function decodeTicketKey(text: string): Buffer | null {
  return /^[A-Za-z0-9+/]+={0,2}$/.test(text) && text.length % 4 === 0 ? Buffer.from(text, 'base64') : null;
}

/** @returns the keys that count, in the order of the file */
export function parseTicketKeys(text: string): TicketKeysText {
  const lines = text.replace(/\r?\n$/, '').split(/\r?\n/);
  const keys: Buffer[] = [];
  for (const [index, line] of lines.entries()) {
    const key = decodeTicketKey(line);
    if (key === null) return {ok: false, reason: `line ${index + 1} is no key in base64`};
    if (key.length === longKeyBytes) {
      return {ok: false, reason: `the key of line ${index + 1} has 80 bytes: Node makes tickets with AES-128 alone, whose keys have ${ticketKeyBytes}`};
    }
    if (key.length !== ticketKeyBytes) return {ok: false, reason: `the key of line ${index + 1} has ${key.length} bytes, not ${ticketKeyBytes}`};
    keys.push(key);
  }
  if (keys.length < keptTicketKeys) return {ok: false, reason: `at least ${keptTicketKeys} keys are needed, found ${keys.length}`};
  return {ok: true, keys: keys.slice(-keptTicketKeys)};
}
