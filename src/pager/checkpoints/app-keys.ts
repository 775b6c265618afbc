/**
 * The data key of each app: random, made with the first object that is sealed, and kept beside the app's objects, wrapped by a key of the
 * operator. A key that cannot be had proves nothing about a checkpoint, so nothing here is ever called damage.
 */
import {randomBytes} from 'node:crypto';
import {errorCode} from '../../core/errors.ts';
import type {AppName} from '../../core/ids.ts';
import {parseJson} from '../../store/json.ts';
import type {ObjectStore} from '../../store/object-store.ts';
import {keysOf} from './checkpoint-keys.ts';
import type {Keyring, WrappedKey} from './keyring.ts';
import {checkKey, sealKeyBytes, wrongKey} from './sealing.ts';

const formatVersion = 1;

export interface AppKeys {
  /** To seal what is new; undefined when no keys are configured. Makes the app's key when it has none. @throws CodedError ERR_WRONG_KEY */
  forWriting(app: AppName): Promise<Uint8Array | undefined>;
  /**
   * To open a sealed object.
   * @param wanted the object, and the id of the data key that it names
   * @throws CodedError ERR_WRONG_KEY, which names the object and the key that is wanted
   */
  forReading(app: AppName, wanted: {readonly object: string; readonly keyId: string}): Promise<Uint8Array>;
}

export function openAppKeys(objects: ObjectStore, keyring: Keyring | null): AppKeys {
  const known = new Map<AppName, Uint8Array>();
  const remember = (app: AppName, dataKey: Uint8Array): Uint8Array => {
    known.set(app, dataKey);
    return dataKey;
  };
  return {
    async forWriting(app) {
      if (keyring === null) return undefined;
      const dataKey = known.get(app) ?? (await storedKey(objects, keyring, app)) ?? (await newKey(objects, keyring, app));
      return remember(app, dataKey);
    },
    async forReading(app, wanted) {
      const dataKey = known.get(app) ?? (await storedKey(objects, keyring, app));
      if (dataKey === undefined) throw wrongKey(wanted.object, `it is sealed with key ${wanted.keyId}, and "${keysOf(app).key}" does not exist`);
      checkKey(dataKey, wanted);
      return remember(app, dataKey);
    },
  };
}

/** Undefined when the app has no key yet. */
async function storedKey(objects: ObjectStore, keyring: Keyring | null, app: AppName): Promise<Uint8Array | undefined> {
  const object = keysOf(app).key;
  let data: Buffer;
  try {
    data = await objects.get(object);
  } catch (error) {
    if (errorCode(error) === 'ERR_NO_OBJECT') return undefined;
    throw error;
  }
  const wrapped = parseKey(object, data);
  const {masterKey} = wrapped;
  if (keyring === null) throw wrongKey(object, `it needs encryption key ${masterKey}, and none is configured`);
  const dataKey = keyring.unwrap(app, wrapped);
  if (dataKey === undefined)
    throw wrongKey(object, `encryption key ${masterKey} does not open it, or is not configured; new keys are wrapped by ${keyring.id}`);
  return dataKey;
}

/** Of two workers that make one at the same time, one stores its own and both use that. */
async function newKey(objects: ObjectStore, keyring: Keyring, app: AppName): Promise<Uint8Array> {
  const dataKey = randomBytes(sealKeyBytes);
  try {
    await objects.put(keysOf(app).key, renderKey(keyring.wrap(app, dataKey)), {ifAbsent: true});
    return dataKey;
  } catch (error) {
    if (errorCode(error) !== 'ERR_OBJECT_EXISTS') throw error;
  }
  const stored = await storedKey(objects, keyring, app);
  if (stored === undefined) throw wrongKey(keysOf(app).key, 'it was there and is gone');
  return stored;
}

function renderKey({masterKey, wrapped}: WrappedKey): Buffer {
  return Buffer.from(`${JSON.stringify({format: formatVersion, masterKey, wrapped: wrapped.toString('base64')})}\n`);
}

function parseKey(object: string, data: Buffer): WrappedKey {
  const parsed = parseJson(data.toString('utf8'));
  if (typeof parsed !== 'object' || parsed === null || !('masterKey' in parsed)) throw wrongKey(object, 'it is not a wrapped key');
  const {format, masterKey, wrapped} = parsed;
  if (format !== formatVersion || typeof masterKey !== 'string' || typeof wrapped !== 'string') throw wrongKey(object, 'it is not a wrapped key');
  return {masterKey, wrapped: Buffer.from(wrapped, 'base64')};
}
