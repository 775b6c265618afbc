/**
 * Encrypts the parts of one stored object with AES-256-GCM. Every object has a key of its own, derived from the app's data key, a random salt
 * and the object's name; the position of a part is its nonce. So no nonce is ever used twice under one key, and a part that is moved within its
 * object, or put into another one, does not open.
 */
import {createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes} from 'node:crypto';
import {CodedError} from '../../core/errors.ts';

export const sealKeyBytes = 32;
export const sealSaltBytes = 16;
/** What sealing adds to a part. */
export const sealTagBytes = 16;

const algorithm = 'aes-256-gcm';
const nonceBytes = 12;

/** All that is needed to open an object; plain data, and secret. */
export interface Seal {
  /** Of the app. */
  readonly dataKey: Uint8Array;
  readonly salt: Uint8Array;
  /** Key of the object in the store. */
  readonly object: string;
}

export interface ObjectCipher {
  readonly seal: Seal;
  /** @param position of what is returned, in the object; each is used once */
  encrypt(position: number, plain: Uint8Array): Buffer;
  /** The same in two parts, for who copies them anyway. */
  encryptParts(position: number, plain: Uint8Array): readonly [sealed: Buffer, tag: Buffer];
  /** @returns undefined when this is not what was sealed at this position of this object */
  decrypt(position: number, stored: Uint8Array): Buffer | undefined;
}

export function newSalt(): Buffer {
  return randomBytes(sealSaltBytes);
}

/** Tells keys apart without telling anything of them: 16 hexadecimal digits. */
export function keyId(key: Uint8Array): string {
  return createHash('sha256').update('picogate key id\0').update(key).digest('hex').slice(0, 16);
}

export function objectCipher(seal: Seal): ObjectCipher {
  const key = Buffer.from(hkdfSync('sha256', seal.dataKey, seal.salt, `picogate object ${seal.object}`, sealKeyBytes));
  const encryptParts: ObjectCipher['encryptParts'] = (position, plain) => {
    const cipher = createCipheriv(algorithm, key, nonceOf(position), {authTagLength: sealTagBytes});
    const sealed = cipher.update(plain);
    cipher.final(); // nothing is left in this mode
    return [sealed, cipher.getAuthTag()];
  };
  return {
    seal,
    encryptParts,
    encrypt: (position, plain) => Buffer.concat(encryptParts(position, plain)),
    decrypt(position, stored) {
      const end = stored.length - sealTagBytes;
      if (end < 0) return undefined;
      const decipher = createDecipheriv(algorithm, key, nonceOf(position), {authTagLength: sealTagBytes});
      decipher.setAuthTag(stored.subarray(end));
      const plain = decipher.update(stored.subarray(0, end));
      try {
        decipher.final();
        return plain;
      } catch {
        // The only thing it can say: the tag is another.
        return undefined;
      }
    },
  };
}

function nonceOf(position: number): Buffer {
  const nonce = Buffer.alloc(nonceBytes);
  nonce.writeBigUInt64LE(BigInt(position), 0);
  return nonce;
}

/** @throws CodedError ERR_WRONG_KEY when an object is sealed with another data key than this */
export function checkKey(dataKey: Uint8Array | undefined, wanted: {readonly object: string; readonly keyId: string}): asserts dataKey is Uint8Array {
  if (dataKey !== undefined && keyId(dataKey) === wanted.keyId) return;
  throw wrongKey(wanted.object, `it is sealed with key ${wanted.keyId}, ${dataKey === undefined ? 'and there is none' : `not with ${keyId(dataKey)}`}`);
}

/** Nothing is known of the object but that this key does not open it: it is not damage. */
export function wrongKey(object: string, found: string, cause?: unknown): CodedError {
  return new CodedError('ERR_WRONG_KEY', `Cannot read object "${object}": ${found}`, {source: 'host', cause});
}
