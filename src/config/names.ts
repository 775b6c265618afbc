/** What frontends, backends, servers and sections of defaults may be called, as in HAProxy. */
export const nameRule = 'a name consists of letters, digits and - _ . :';

export function isName(text: string): boolean {
  return /^[A-Za-z0-9_.:-]+$/.test(text);
}
