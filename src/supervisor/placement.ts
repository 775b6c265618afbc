/** On which worker an app is to be woken: a pure rule. */
import type {Label} from '../config/worker-shape.ts';
import type {WorkerStatus} from '../store/workers.ts';

export interface PlacedApp {
  readonly name: string;
  readonly memoryBytes: number | null;
  readonly onWorker: readonly Label[];
}

export interface PlacementFacts {
  readonly app: PlacedApp;
  /** Who holds its lease; null: nobody. */
  readonly owner: string | null;
  /** Who had it last. */
  readonly home: string | null;
  /** All that it starts from is in the store. */
  readonly isStored: boolean;
  readonly workers: readonly WorkerStatus[];
  /** Rather than where it was last, if it may be there; null: nowhere in particular. */
  readonly preferred?: string | null;
}

export type Placed =
  | {readonly kind: 'worker'; readonly name: string}
  /** Nobody can have it yet, and that will pass. */
  | {readonly kind: 'wait'; readonly reason: string}
  /** No worker may have it, as things are. */
  | {readonly kind: 'none'; readonly reason: string};

/**
 * The worker that has the app; else the one that had it last, which still has its checkpoint; else the one with most room. What is not in the store
 * yet is only to be had where it was last, as long as that one is heard of.
 */
export function place({app, owner, home, isStored, workers, preferred = null}: PlacementFacts): Placed {
  if (owner !== null) {
    const isAlive = workers.some(({name, state}) => name === owner && state === 'alive');
    return isAlive ? {kind: 'worker', name: owner} : {kind: 'wait', reason: `worker "${owner}" has it and is not heard of`};
  }
  const last = workers.find(({name, state}) => name === home && state !== 'gone');
  if (last !== undefined && !isStored) return onlyThere(last);
  const suitable = workers.filter((worker) => worker.state === 'alive' && !worker.isDraining && hasLabels(worker, app.onWorker));
  const roomy = suitable.filter((worker) => hasRoom(worker, app.memoryBytes ?? 0));
  const best =
    roomy.find(({name}) => name === preferred) ??
    roomy.find(({name}) => name === home) ??
    [...roomy].sort(byRoom)[0] ??
    suitable.find(({name}) => name === home);
  if (best !== undefined) return {kind: 'worker', name: best.name};
  return {kind: 'none', reason: reasonOf(app, workers, suitable)};
}

function onlyThere({name, state, isDraining}: WorkerStatus): Placed {
  if (state === 'alive' && !isDraining) return {kind: 'worker', name};
  if (state === 'alive') return {kind: 'wait', reason: `worker "${name}" is being drained and brings its checkpoint to the store`};
  const remedy = `start it again, or give up what it had with "picogate workers forget ${name}"`;
  return {kind: 'none', reason: `worker "${name}" was stopped before its checkpoint was in the store: ${remedy}`};
}

function hasLabels({labels}: WorkerStatus, wanted: readonly Label[]): boolean {
  return wanted.every(({key, value}) => labels[key] === value);
}

function hasRoom({appsMax, awake, memoryBytes, usedBytes}: WorkerStatus, neededBytes: number): boolean {
  return (appsMax === null || awake < appsMax) && usedBytes + neededBytes <= memoryBytes;
}

/** Most memory left first; where that is the same, fewest apps. */
function byRoom(a: WorkerStatus, b: WorkerStatus): number {
  return b.memoryBytes - b.usedBytes - (a.memoryBytes - a.usedBytes) || a.awake - b.awake || (a.name < b.name ? -1 : 1);
}

function reasonOf({onWorker}: PlacedApp, workers: readonly WorkerStatus[], suitable: readonly WorkerStatus[]): string {
  const names = (some: readonly WorkerStatus[]): string => some.map(({name}) => `"${name}"`).join(', ');
  if (suitable.length > 0) return `no room on ${names(suitable)}`;
  const alive = workers.filter(({state}) => state === 'alive');
  if (alive.length === 0) return 'no worker is heard of';
  const undrained = alive.filter(({isDraining}) => !isDraining);
  if (undrained.length === 0) return `all workers are drained: ${names(alive)}`;
  return `no worker has ${onWorker.map(({key, value}) => `${key}=${value}`).join(' ')}: there are ${names(undrained)}`;
}
