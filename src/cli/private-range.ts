/**
 * Which private addresses the apps of a gateway have: chosen once, because their sockets are saved with them. What a
 * gateway has chosen is on record for all gateways of the host, so that none takes the range of one that is stopped.
 * A record is a symbolic link named after the range that leads to the gateway's state directory.
 */
import {mkdir, readdir, readFile, readlink, rename, rm, symlink, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import type {Config, GlobalConfig} from '../config/value.ts';
import {CodedError, errorCode} from '../core/errors.ts';
import {firstFreeRange, overlappingNetwork} from '../nat/free-range.ts';
import {type Range, rangeText} from '../nat/ipv4.ts';
import type {Pager} from '../pager/client.ts';

const recordsDir = '/var/lib/picogate-ranges';
/** Another gateway that starts at the same moment may take the range that we have just seen free. */
const attempts = 8;

function rangeFile(stateDir: string): string {
  return join(stateDir, 'private-range');
}

function parseRange(text: string): Range | undefined {
  const [, address, prefixLength] = /^([\d.]+)\/(\d+)\s*$/.exec(text) ?? [];
  return address === undefined ? undefined : {address, prefixLength: Number(prefixLength)};
}

/** That a gateway has chosen; undefined before. */
export async function savedRange(stateDir: string): Promise<Range | undefined> {
  try {
    return parseRange(await readFile(rangeFile(stateDir), 'utf8'));
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

/** A range that checkpoints of an app in the store have. */
interface WantedRange {
  readonly app: string;
  readonly range: Range;
}

/** Ranges of the checkpoints that other workers have left in a remote store. @throws CodedError when it cannot be reached */
export async function rangesInStore({apps, global}: Config, pager: Pick<Pager, 'generations' | 'meta'>): Promise<readonly WantedRange[]> {
  const found: WantedRange[] = [];
  if (global.store.kind === 'directory') return found;
  for (const {name} of apps) {
    const newest = (await pager.generations(name)).at(-1);
    // Without one that can be read, the app says so when it is to be woken.
    const meta = newest === undefined ? undefined : await pager.meta(name, newest).catch(onlyDamage);
    const range = parseRange(networkOf(meta?.meta));
    if (range !== undefined) found.push({app: name, range});
  }
  return found;
}

function onlyDamage(error: unknown): undefined {
  if (errorCode(error) === 'ERR_DAMAGED_CHECKPOINT') return undefined;
  throw error;
}

function networkOf(meta: unknown): string {
  if (typeof meta !== 'object' || meta === null || !('network' in meta)) return '';
  const {network} = meta;
  return typeof network === 'object' && network !== null && 'range' in network && typeof network.range === 'string' ? network.range : '';
}

/** That of most checkpoints: each of them can be woken only with its own. @throws CodedError ERR_RANGE_IN_USE when it is not free on this host */
async function wantedRange(wanted: readonly WantedRange[], stateDir: string): Promise<Range | undefined> {
  const count = (range: Range): number => wanted.filter((other) => rangeText(other.range) === rangeText(range)).length;
  const [first] = [...wanted].sort((a, b) => count(b.range) - count(a.range));
  if (first === undefined) return undefined;
  const found = await overlappingNetwork(first.range, await recordedRanges(stateDir));
  if (found === undefined) return first.range;
  const text = rangeText(first.range);
  const remedy = 'free it, or set "private-range" to another one: apps with checkpoints in the store cannot be woken then';
  const message = `Cannot use private range ${text}, which the checkpoint of app "${first.app}" has: ${found} is in use on this host; ${remedy}`;
  throw new CodedError('ERR_RANGE_IN_USE', message, {source: 'host'});
}

export interface RangeChoice {
  readonly configured: GlobalConfig['privateRange'];
  readonly stateDir: string;
  /** Asked when nothing is configured or chosen yet. */
  readonly wanted: () => Promise<readonly WantedRange[]>;
}

/**
 * Opens the network with the configured range, or the one this gateway had before, or that of checkpoints in the store, or the first free one.
 * @param open fails when the range is in use
 */
export async function withPrivateRange<T>({configured, stateDir, wanted}: RangeChoice, open: (range: Range) => Promise<T>): Promise<T> {
  if (configured !== 'auto') return open(configured);
  const saved = await savedRange(stateDir);
  if (saved !== undefined) return openSaved(saved, open);
  const fromStore = await wanted();
  for (let attempt = 1; ; attempt += 1) {
    const range = (await wantedRange(fromStore, stateDir)) ?? (await firstFreeRange(await recordedRanges(stateDir)));
    try {
      await record(range, stateDir);
      return await open(range);
    } catch (error) {
      await rm(rangeFile(stateDir), {force: true});
      if (attempt === attempts) throw error;
    }
  }
}
