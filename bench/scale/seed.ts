/**
 * The state of a gateway whose apps have all slept, without running each: what CRIU wrote when one of them was put to sleep is kept, and committed
 * for the others as the pager does it, each with the address that it has. All of them can be woken.
 */
import {cp, link, mkdir, readdir, readFile} from 'node:fs/promises';
import {join} from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import {errorCode} from '../../src/core/errors.ts';
import {appName, fencingToken, generation} from '../../src/core/ids.ts';
import {limited} from '../../src/core/limited.ts';
import {appAddress} from '../../src/nat/ipv4.ts';
import {openCheckpointStore} from '../../src/pager/checkpoints/checkpoint-store.ts';
import {openDirectoryStore} from '../../src/store/directory-store.ts';
import {appAt} from './scale-apps.ts';

const pollMs = 1;
const commitsAtATime = 8;

/** Keeps what CRIU writes of the first app meanwhile: the gateway removes it when the generation is stored, and links keep it. */
export async function keepDump(stateDir: string, hibernating: Promise<void>): Promise<void> {
  await mkdir(dumpCopy(stateDir), {recursive: true});
  const over = new AbortController();
  const hibernated = hibernating.finally(() => over.abort());
  while (!over.signal.aborted) {
    await linkAll(join(stateDir, 'dumps', appAt(0)), dumpCopy(stateDir));
    await sleep(pollMs);
  }
  await hibernated;
}

function dumpCopy(stateDir: string): string {
  return join(stateDir, 'kept-dump');
}

async function linkAll(from: string, to: string): Promise<void> {
  const entries = await readdir(from, {recursive: true, withFileTypes: true}).catch(() => []); // It comes and goes.
  for (const entry of entries) {
    if (!entry.isFile()) continue;
    await link(join(entry.parentPath, entry.name), join(to, entry.name)).catch((error: unknown) => {
      if (errorCode(error) !== 'EEXIST' && errorCode(error) !== 'ENOENT') throw error;
    });
  }
}

/** @param stateDir of a gateway that has stopped, with a kept dump and a checkpoint of its first app */
export async function commitCopies(stateDir: string, count: number, signal: AbortSignal): Promise<void> {
  const store = openCheckpointStore({objects: await openDirectoryStore(join(stateDir, 'store'))});
  const {meta} = await store.meta(appName(appAt(0)), generation(1));
  if (typeof meta !== 'object' || meta === null || !('layers' in meta)) throw new Error('the checkpoint says nothing of layers');
  const [address = '', prefixLength = ''] = (await readFile(join(stateDir, 'private-range'), 'utf8')).trim().split('/');
  const layers = (app: string): string => join(stateDir, 'apps', app, 'layers');
  const others = Array.from({length: count - 1}, (_, at) => at + 1);
  await limited(others, commitsAtATime, async (index) => {
    signal.throwIfAborted();
    const app = appName(appAt(index));
    const network = {address: appAddress({address, prefixLength: Number(prefixLength)}, index), range: `${address}/${prefixLength}`};
    const dump = {dumpDir: dumpCopy(stateDir), parent: null, missing: new Map(), meta: {...meta, network}};
    await store.commit({app, token: fencingToken(1), ...dump});
    await cp(layers(appAt(0)), layers(app), {recursive: true});
  });
}
