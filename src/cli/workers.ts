/** `picogate workers`, `drain` and `undrain`: who shares the apps, and who is to have none. */
import {CodedError} from '../core/errors.ts';
import {callControl} from '../store/control.ts';
import type {Json} from '../store/json.ts';
import {openState} from '../store/state.ts';
import {openWorkers, type WorkerStatus, type Workers} from '../store/workers.ts';
import {confirm} from './confirm.ts';
import {ago, bytes} from './format.ts';
import {type Column, type Listing, type ListingOptions, list} from './listing.ts';
import {connectToGateway, printJson} from './remote.ts';
import {followUploads} from './upload-progress.ts';

/** All that a worker has is put to sleep, uploaded and woken elsewhere. */
const drainMs = 3_600_000;

function stateOf({state, isDraining}: WorkerStatus): string {
  return isDraining ? `${state}, drained` : state;
}

async function find(workers: Workers, name: string): Promise<WorkerStatus> {
  const all = await workers.list();
  const found = all.find((worker) => worker.name === name);
  if (found !== undefined) return found;
  const known = all.map((worker) => worker.name).join(', ');
  throw new CodedError('ERR_UNKNOWN_WORKER', `Cannot find worker "${name}": there are ${known === '' ? 'none' : known}`, {source: 'client'});
}

interface WorkerRow {
  readonly worker: WorkerStatus;
  readonly running: readonly string[];
}

function labelsOf({labels}: WorkerStatus): string | null {
  const texts = Object.entries(labels).map(([key, value]) => `${key}=${value}`);
  return texts.length === 0 ? null : texts.join(' ');
}

function columnsAt(nowMs: number): readonly Column<WorkerRow>[] {
  const styles = {alive: 'green', stopped: 'dim', gone: 'red'} as const;
  return [
    {head: 'NAME', name: 'name', value: ({worker}) => worker.name, shortest: 12},
    {head: 'STATE', name: 'state', value: ({worker}) => stateOf(worker), style: ({worker}) => styles[worker.state]},
    {head: 'ADDRESS', name: 'address', value: ({worker}) => worker.address, rank: 2},
    {
      head: 'AWAKE',
      name: 'awake',
      value: ({worker}) => worker.awake,
      text: ({worker: {awake, appsMax}}) => `${awake}${appsMax === null ? '' : ` of ${appsMax}`}`,
    },
    {
      head: 'MEMORY',
      name: 'used_bytes',
      value: ({worker}) => worker.usedBytes,
      text: ({worker}) => `${bytes(worker.usedBytes)} of ${bytes(worker.memoryBytes)}`,
      rank: 1,
    },
    {head: 'LABELS', name: 'labels', value: ({worker}) => labelsOf(worker), rank: 5, shortest: 10},
    {head: 'HEARD OF', name: 'heard_of', value: ({worker}) => worker.at, text: ({worker}) => ago(worker.at, nowMs), rank: 4},
    {head: 'APPS', name: 'apps', value: ({running}) => running.join(' '), rank: 3, shortest: 12},
  ];
}

/** Lists the workers. @returns the exit status */
export function listWorkers(files: readonly string[] | undefined, options: ListingOptions): Promise<number> {
  return list(options, async (): Promise<Listing<WorkerRow>> => {
    const {connection} = await connectToGateway(files);
    await using owned = connection;
    const workers = await openWorkers(owned).list();
    const apps = [...(await openState(owned).listApps()).values()];
    const running = (name: string): string[] => apps.flatMap((app) => (app instanceof Error || app.worker !== name ? [] : [app.name]));
    return {
      columns: columnsAt(Date.now()),
      rows: workers.map((worker) => ({worker, running: running(worker.name)})),
      json: (rows) => rows.map(({worker, running: its}) => ({...worker, running: its})),
    };
  });
}

function drainedOf(answer: Json): {moved: readonly string[]; failed: readonly string[]} {
  const fields = new Map<string, unknown>(typeof answer === 'object' && answer !== null ? Object.entries(answer) : []);
  const list = (name: string): readonly unknown[] => {
    const found = fields.get(name);
    return Array.isArray(found) ? (found as readonly unknown[]) : [];
  };
  const failed = list('failed').map((one) => {
    const {app, reason} = typeof one === 'object' && one !== null && 'app' in one && 'reason' in one ? one : {app: '?', reason: '?'};
    return `${String(app)}: ${String(reason)}`;
  });
  return {moved: list('moved').map(String), failed};
}

/** Nothing is woken on a worker any more, and what it has goes to the others. @returns the exit status: 1 when something had to stay */
export async function drain(files: readonly string[] | undefined, name: string, {json, yes}: {json: boolean; yes: boolean}): Promise<number> {
  const {connection} = await connectToGateway(files);
  await using owned = connection;
  const workers = openWorkers(owned);
  const {state} = await find(workers, name);
  const others = (await workers.list()).filter((other) => other.name !== name && other.state === 'alive' && !other.isDraining);
  if (others.length === 0) await confirm(`No other worker takes the apps of "${name}": put them to sleep, and wake none until it is undrained?`, {yes});
  await workers.setDraining(name, true);
  if (state !== 'alive') {
    process.stdout.write(`${name} is ${state}: nothing will be woken there when it is back\n`);
    return 0;
  }
  const its = [...(await openState(owned).listApps()).values()].flatMap((app) => (app instanceof Error || app.worker !== name ? [] : [app.name]));
  using shown = followUploads(owned, {title: `drain ${name}`, apps: its});
  const answer = await callControl(owned, 'drain', null, {worker: name, timeoutMs: drainMs});
  shown[Symbol.dispose]();
  const {moved, failed} = drainedOf(answer);
  if (json) printJson(answer);
  else
    process.stdout.write(`${name} is drained; moved: ${moved.join(', ') || 'nothing ran'}\n${failed.map((line) => `could not be moved: ${line}\n`).join('')}`);
  return failed.length === 0 ? 0 : 1;
}

/** @returns the exit status */
export async function undrain(files: readonly string[] | undefined, name: string): Promise<number> {
  const {connection} = await connectToGateway(files);
  await using owned = connection;
  const workers = openWorkers(owned);
  await find(workers, name);
  await workers.setDraining(name, false);
  process.stdout.write(`${name} may wake apps again\n`);
  return 0;
}

/** A worker will not come back: what only it has is given up. @returns the exit status. @throws CodedError ERR_WORKER_ALIVE */
export async function forgetWorker(files: readonly string[] | undefined, name: string, {yes}: {yes: boolean}): Promise<number> {
  const {connection} = await connectToGateway(files);
  await using owned = connection;
  const workers = openWorkers(owned);
  if ((await find(workers, name)).state === 'alive') {
    throw new CodedError('ERR_WORKER_ALIVE', `Cannot forget worker "${name}": it is running; stop it first`, {source: 'client'});
  }
  await confirm(`Give up worker "${name}", and what only its disk has?`, {yes});
  await workers.forget(name);
  process.stdout.write(`${name} is forgotten; its apps start from what is in the store\n`);
  return 0;
}
