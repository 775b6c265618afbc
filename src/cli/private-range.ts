/** Which private addresses the apps of a gateway have: chosen once, because their sockets are saved with them. */
import {readFile, rename, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import type {GlobalConfig} from '../config/value.ts';
import {CodedError, errorCode} from '../core/errors.ts';
import {firstFreeRange} from '../nat/free-range.ts';
import type {Range} from '../nat/ipv4.ts';

/** Another gateway that starts at the same moment may take the range that we have just seen free. */
const attempts = 8;

async function savedRange(file: string): Promise<Range | undefined> {
  try {
    const [, address, prefixLength] = /^([\d.]+)\/(\d+)\s*$/.exec(await readFile(file, 'utf8')) ?? [];
    return address === undefined ? undefined : {address, prefixLength: Number(prefixLength)};
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

async function openSaved<T>(range: Range, open: (range: Range) => Promise<T>): Promise<T> {
  try {
    return await open(range);
  } catch (cause) {
    const message = `Cannot use private range ${range.address}/${range.prefixLength}, which the apps of this gateway have; does another gateway use it now?`;
    throw new CodedError('ERR_RANGE_IN_USE', message, {source: 'host', cause});
  }
}

/**
 * Opens the network with the configured range, or the one this gateway had before, or the first free one, which it keeps then.
 * @param open fails when the range is in use
 */
export async function withPrivateRange<T>(configured: GlobalConfig['privateRange'], stateDir: string, open: (range: Range) => Promise<T>): Promise<T> {
  if (configured !== 'auto') return open(configured);
  const file = join(stateDir, 'private-range');
  const saved = await savedRange(file);
  if (saved !== undefined) return openSaved(saved, open);
  for (let attempt = 1; ; attempt += 1) {
    const range = await firstFreeRange();
    try {
      const opened = await open(range);
      await writeFile(`${file}.new`, `${range.address}/${range.prefixLength}\n`);
      await rename(`${file}.new`, file);
      return opened;
    } catch (error) {
      if (attempt === attempts) throw error;
    }
  }
}
