/** The encryption keys that a configuration names: read once, when a gateway starts. No message shows anything of a key. */
import {type FileHandle, open} from 'node:fs/promises';
import type {KeySource} from '../config/value.ts';
import {CodedError, errorCode, errorMessage} from '../core/errors.ts';
import {parseMasterKey} from '../pager/checkpoints/keyring.ts';

/** Nobody but the owner may do anything with the file. */
const forbiddenMode = 0o077;
/** A key takes less in every form. */
const maxKeyBytes = 4096;

/**
 * A variable is removed from the environment: the programs that are started need not know it.
 * @throws CodedError ERR_ENCRYPTION_KEY, which says where the key was expected and what to do
 */
export async function readEncryptionKeys(sources: readonly KeySource[]): Promise<readonly Uint8Array[]> {
  const keys = [];
  for (const source of sources) keys.push(source.kind === 'file' ? await readKeyFile(source.path) : readKeyVariable(source.name));
  // Only now: two keys may be in the same variable by mistake, which is no reason to call it unset.
  for (const source of sources) if (source.kind === 'env') Reflect.deleteProperty(process.env, source.name);
  return keys;
}

function unusable(where: string, found: string, cause?: unknown): CodedError {
  return new CodedError('ERR_ENCRYPTION_KEY', `Cannot use the encryption key in ${where}: ${found}`, {source: 'host', cause});
}

function parsed(where: string, content: string | Uint8Array): Uint8Array {
  try {
    return parseMasterKey(content);
  } catch (error) {
    throw unusable(where, errorMessage(error).replace(/^[^:]*: /, ''));
  }
}

function readKeyVariable(name: string): Uint8Array {
  const where = `the environment variable ${name}`;
  const value = process.env[name];
  if (value === undefined || value === '') throw unusable(where, 'it is not set');
  return parsed(where, value);
}

async function readKeyFile(path: string): Promise<Uint8Array> {
  const where = `file "${path}"`;
  await using file = await openKeyFile(path, where);
  const {mode, uid, size} = await file.stat();
  // As ssh does with its keys: what others can read is no secret any more, and nobody would notice.
  if ((mode & forbiddenMode) !== 0) {
    throw unusable(where, `others than its owner may use the file (mode ${(mode & 0o777).toString(8).padStart(4, '0')}); "chmod 600 ${path}" changes that`);
  }
  if (uid !== 0 && uid !== process.getuid?.()) throw unusable(where, `the file belongs to user ${uid}; "chown root ${path}" changes that`);
  if (size > maxKeyBytes) throw unusable(where, `${size} bytes instead of 64 hexadecimal digits, 44 of base64, or 32 bytes`);
  return parsed(where, await file.readFile());
}

async function openKeyFile(path: string, where: string): Promise<FileHandle> {
  try {
    return await open(path, 'r');
  } catch (cause) {
    const make = `there is no such file; "(umask 077; head -c 32 /dev/urandom | base64 > ${path})" makes one. Keep a copy: without it nothing can be read again`;
    throw unusable(where, errorCode(cause) === 'ENOENT' ? make : errorMessage(cause), cause);
  }
}
