/** crypt(3) of the system, which knows all that its own passwords may be hashed with. */
import koffi from 'koffi';

type Crypt = (password: string, setting: string) => unknown;
let crypt: Crypt | null = null;

/**
 * @param setting a hash, of which the method and the salt are taken
 * @returns the hash of the password made so; null when the system does not know the method
 */
export function cryptPassword(password: string, setting: string): string | null {
  crypt ??= koffi.load('libcrypt.so.1').func('const char *crypt(const char *password, const char *setting)') as unknown as Crypt;
  const made = crypt(password, setting);
  return typeof made === 'string' && !made.startsWith('*') ? made : null;
}
