/** The keys of the operator: they wrap the data keys of the apps, and encrypt nothing else. */
import {createCipheriv, createDecipheriv, randomBytes} from 'node:crypto';
import {assert, CodedError} from '../../core/errors.ts';
import {keyId, sealKeyBytes, sealTagBytes} from './sealing.ts';

export interface KeyringOptions {
  /** 32 bytes each. The first wraps what is new, all can open. */
  readonly keys: readonly Uint8Array[];
}

export interface WrappedKey {
  /** Id of the key that wraps. */
  readonly masterKey: string;
  readonly wrapped: Buffer;
}

export interface Keyring {
  /** Of the key that wraps what is new. */
  readonly id: string;
  /** @param app whose data key it is; no other's can be passed off as this one's */
  wrap(app: string, dataKey: Uint8Array): WrappedKey;
  /** @returns undefined when the ring has no key of that id, or the bytes are not what it wrapped for this app */
  unwrap(app: string, wrapped: WrappedKey): Buffer | undefined;
}

const algorithm = 'aes-256-gcm';
const nonceBytes = 12;

export function openKeyring({keys}: KeyringOptions): Keyring {
  const byId = new Map(keys.map((key) => [keyId(key), key] as const));
  const [first] = keys;
  assert(first !== undefined && keys.every(({length}) => length === sealKeyBytes), `A keyring needs keys of ${sealKeyBytes} bytes`);
  const id = keyId(first);
  return {
    id,
    wrap(app, dataKey) {
      const nonce = randomBytes(nonceBytes);
      const cipher = createCipheriv(algorithm, first, nonce, {authTagLength: sealTagBytes}).setAAD(associated(app));
      return {masterKey: id, wrapped: Buffer.concat([nonce, cipher.update(dataKey), cipher.final(), cipher.getAuthTag()])};
    },
    unwrap(app, {masterKey, wrapped}) {
      const key = byId.get(masterKey);
      if (key === undefined || wrapped.length !== nonceBytes + sealKeyBytes + sealTagBytes) return undefined;
      const decipher = createDecipheriv(algorithm, key, wrapped.subarray(0, nonceBytes), {authTagLength: sealTagBytes});
      decipher.setAAD(associated(app)).setAuthTag(wrapped.subarray(nonceBytes + sealKeyBytes));
      const dataKey = decipher.update(wrapped.subarray(nonceBytes, nonceBytes + sealKeyBytes));
      try {
        decipher.final();
        return dataKey;
      } catch {
        // The tag is another: it was changed, or wrapped for another app.
        return undefined;
      }
    },
  };
}

function associated(app: string): Buffer {
  return Buffer.from(`picogate data key of app ${app}`);
}

/**
 * A key as it is kept in a file: 64 hexadecimal digits, or base64, or the 32 bytes themselves. White space around text is ignored.
 * @throws CodedError ERR_BAD_KEY, which never shows the key
 */
export function parseMasterKey(content: string | Uint8Array): Buffer {
  if (typeof content !== 'string' && content.length === sealKeyBytes) return Buffer.from(content);
  const text = (typeof content === 'string' ? content : Buffer.from(content).toString('latin1')).trim();
  if (/^[0-9a-f]{64}$/i.test(text)) return Buffer.from(text, 'hex');
  if (/^[A-Za-z0-9+/]{43}=$/.test(text)) return Buffer.from(text, 'base64');
  const found = `${text.length} characters instead of 64 hexadecimal digits, 44 of base64, or 32 bytes`;
  throw new CodedError('ERR_BAD_KEY', `Cannot read an encryption key: ${found}`, {source: 'host'});
}
