/** Which private addresses the apps of a gateway have: chosen once, because their sockets are saved with them. */
import {readFile, rename, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import type {GlobalConfig} from '../config/value.ts';
import {errorCode} from '../core/errors.ts';
import {firstFreeRange} from '../nat/free-range.ts';
import type {Range} from '../nat/ipv4.ts';

/** The configured range, or the one this gateway had before, or the first free one. */
export async function privateRange(configured: GlobalConfig['privateRange'], stateDir: string): Promise<Range> {
  if (configured !== 'auto') return configured;
  const file = join(stateDir, 'private-range');
  try {
    const [, address, prefixLength] = /^([\d.]+)\/(\d+)\s*$/.exec(await readFile(file, 'utf8')) ?? [];
    if (address !== undefined) return {address, prefixLength: Number(prefixLength)};
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error;
  }
  const range = await firstFreeRange();
  await writeFile(`${file}.new`, `${range.address}/${range.prefixLength}\n`);
  await rename(`${file}.new`, file);
  return range;
}
