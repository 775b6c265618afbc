/** Where the memory of sleeping apps lies: on this host's disk, or only in an object store at the end of a slow line. */
import {startBenchGateway} from '../bench-gateway.ts';
import {openColdStore} from './cold-store.ts';
import {type PagingApp, renderApps} from './paging-apps.ts';
import type {PagingBench} from './paging-bench.ts';
import type {Residence, WakeRun} from './wakes.ts';

export const temperatures = ['warm', 'cold'] as const;
export type Temperature = (typeof temperatures)[number];

interface Place {
  readonly residence: Residence;
  readonly globals: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

async function openPlace(temperature: Temperature, scope: AsyncDisposableStack, signal: AbortSignal): Promise<Place> {
  if (temperature === 'warm') return {residence: {kind: 'warm'}, globals: [], env: {}};
  const {globals, env, traffic} = scope.use(await openColdStore(signal));
  return {residence: {kind: 'cold', traffic}, globals, env};
}

/** A gateway of its own for these apps; nothing is left of it afterwards, also when `use` fails. */
export async function withGateway(
  bench: PagingBench,
  {temperature, apps}: {readonly temperature: Temperature; readonly apps: readonly PagingApp[]},
  use: (run: WakeRun) => Promise<void>,
): Promise<void> {
  await using scope = new AsyncDisposableStack();
  const {residence, globals, env} = await openPlace(temperature, scope, bench.signal);
  const {signal, python} = bench;
  const gateway = scope.use(await startBenchGateway({signal, globals, env, configure: (programs) => renderApps(apps, {python, programs})}));
  await use({bench, gateway, residence});
}
