/**
 * Which core does what: the load, and the servers behind, are on the first one, what is measured on the second, so that neither takes the time of the
 * other and the scheduler moves nothing. A machine with one core only has nothing to choose.
 */
import {cpus} from 'node:os';
import {run} from '../../src/core/command.ts';

export const coreCount = cpus().length;
const loadCore = '0';
const measuredCore = '1';
const timeoutMs = 10_000;

/** Starts what is measured on its core. */
export function onMeasuredCore(argv: readonly [string, ...string[]]): readonly [string, ...string[]] {
  return coreCount === 1 ? argv : ['taskset', '-c', measuredCore, ...argv];
}

/** Starts something on all cores, from a process that is kept on one. */
export function onAllCores(argv: readonly [string, ...string[]]): readonly [string, ...string[]] {
  return ['taskset', '-c', allCores(), ...argv];
}

/** Moves a process with all its threads to the core of what is measured. */
export async function moveToMeasuredCore(pid: number): Promise<void> {
  if (coreCount > 1) await move(pid, measuredCore);
}

/** From now on this process, and what it starts, has only the core of the load. Disposing gives it all cores again. */
export async function keepToLoadCore(): Promise<AsyncDisposable> {
  if (coreCount > 1) await move(process.pid, loadCore);
  return {[Symbol.asyncDispose]: () => move(process.pid, allCores())};
}

function allCores(): string {
  return `0-${coreCount - 1}`;
}

async function move(pid: number, cores: string): Promise<void> {
  await run(['taskset', '--all-tasks', '--pid', '--cpu-list', cores, String(pid)], {timeoutMs});
}
