/**
 * Which private addresses the apps of a gateway have: chosen once, because their sockets are saved with them. What a
 * gateway has chosen is on record for all gateways of the host, so that none takes the range of one that is stopped.
 * A record is a symbolic link named after the range that leads to the gateway's state directory.
 */
import {mkdir, readdir, readFile, readlink, rename, rm, symlink, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import type {GlobalConfig} from '../config/value.ts';
import {CodedError, errorCode} from '../core/errors.ts';
import {firstFreeRange} from '../nat/free-range.ts';
import type {Range} from '../nat/ipv4.ts';

const recordsDir = '/var/lib/picogate-ranges';
/** Another gateway that starts at the same moment may take the range that we have just seen free. */
const attempts = 8;

function rangeFile(stateDir: string): string {
  return join(stateDir, 'private-range');
}

async function savedRange(stateDir: string): Promise<Range | undefined> {
  try {
    const [, address, prefixLength] = /^([\d.]+)\/(\d+)\s*$/.exec(await readFile(rangeFile(stateDir), 'utf8')) ?? [];
    return address === undefined ? undefined : {address, prefixLength: Number(prefixLength)};
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** Networks that other gateways have on record; records of gateways whose state is gone are removed. */
async function recordedRanges(stateDir: string): Promise<string[]> {
  await mkdir(recordsDir, {recursive: true, mode: 0o755});
  const taken: string[] = [];
  for (const name of await readdir(recordsDir)) {
    const record = join(recordsDir, name);
    const owner = await readlink(record).catch(() => undefined); // Removed meanwhile, or not ours.
    if (owner === undefined || owner === stateDir) continue;
    if ((await savedRange(owner)) === undefined) await rm(record, {force: true});
    else taken.push(name.replace('-', '/'));
  }
  return taken;
}

/** @throws an error with code EEXIST when another gateway was quicker; the caller removes the gateway's own file then */
async function record(range: Range, stateDir: string): Promise<void> {
  await writeFile(`${rangeFile(stateDir)}.new`, `${range.address}/${range.prefixLength}\n`);
  await rename(`${rangeFile(stateDir)}.new`, rangeFile(stateDir));
  const path = join(recordsDir, `${range.address}-${range.prefixLength}`);
  try {
    await symlink(stateDir, path);
  } catch (error) {
    if (errorCode(error) !== 'EEXIST' || (await readlink(path)) !== stateDir) throw error;
  }
}

async function openSaved<T>(range: Range, open: (range: Range) => Promise<T>): Promise<T> {
  try {
    return await open(range);
  } catch (cause) {
    const message = `Cannot use private range ${range.address}/${range.prefixLength}, which the apps of this gateway have`;
    throw new CodedError('ERR_RANGE_IN_USE', message, {source: 'host', cause});
  }
}

/**
 * Opens the network with the configured range, or the one this gateway had before, or the first free one, which it keeps then.
 * @param open fails when the range is in use
 */
export async function withPrivateRange<T>(configured: GlobalConfig['privateRange'], stateDir: string, open: (range: Range) => Promise<T>): Promise<T> {
  if (configured !== 'auto') return open(configured);
  const saved = await savedRange(stateDir);
  if (saved !== undefined) return openSaved(saved, open);
  for (let attempt = 1; ; attempt += 1) {
    const range = await firstFreeRange(await recordedRanges(stateDir));
    try {
      await record(range, stateDir);
      return await open(range);
    } catch (error) {
      await rm(rangeFile(stateDir), {force: true});
      if (attempt === attempts) throw error;
    }
  }
}
