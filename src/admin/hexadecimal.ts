/** Where HAProxy shows the address of an object, a number stands here in the same form; clients give it back as it was. */
export function hexadecimal(id: number): string {
  return `0x${id.toString(16)}`;
}

/** Null when it is no such number. */
export function parseHexadecimal(text: string): number | null {
  const [, digits] = /^(?:0x)?([0-9a-f]{1,13})$/i.exec(text) ?? [];
  return digits === undefined ? null : Number.parseInt(digits, 16);
}
