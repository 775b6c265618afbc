/** Every server in every way once per round, in turns, each round beginning with another one. */
import {mkdtemp, rm} from 'node:fs/promises';
import {setTimeout as sleep} from 'node:timers/promises';
import {freePort} from '../../test/helpers/gateway.ts';
import {rootfsWith} from '../../test/helpers/rootfs.ts';
import {type BenchGateway, startBenchGateway} from '../bench-gateway.ts';
import {Attempts} from '../paging/attempts.ts';
import {openColdStore} from '../paging/cold-store.ts';
import type {Sample} from '../suite.ts';
import type {Condition} from './condition.ts';
import {forgetFiles} from './page-cache.ts';
import {openPeers} from './peers.ts';
import {openApp, type PicogateApp, renderApps} from './picogate-way.ts';
import {type Server, servers} from './servers.ts';
import {caseName, type Way} from './way.ts';

/** For a second after CRIU has worked, the kernel keeps ready what it needs of it. A server that has slept for long does not find that. */
const restMs = 1200;
/** Between a case and the next one of a round: any number without a common divisor with that of the cases would do. */
const roundStep = 5;

export interface PeersBench {
  readonly rounds: number;
  readonly signal: AbortSignal;
  readonly record: (sample: Sample) => void;
  readonly progress: (text: string) => void;
}

interface Turn {
  readonly server: Server;
  readonly rootfs: string;
  readonly way: Way;
}

export async function measure(bench: PeersBench, condition: Condition): Promise<void> {
  const {signal, progress, rounds} = bench;
  await using scope = new AsyncDisposableStack();
  const directory = await mkdtemp('/var/tmp/picogate-bench-');
  scope.defer(() => rm(directory, {recursive: true, force: true}));
  const attempts = new Attempts(bench);
  const {gateway, apps} = await openGateway(condition, signal, scope);
  const turns: Turn[] = [];
  for (const app of apps) {
    const {server, rootfs} = app;
    progress(`${server.name} is started and put to sleep`);
    const add = (ways: readonly Way[]): void => void turns.push(...ways.map((way) => ({server, rootfs, way})));
    const subject = {round: 0, recover: async () => undefined};
    await attempts.run({...subject, case: `${server.name} as an app`, subject: `${server.id} app`}, async () => {
      add([await openApp(gateway, app, {cold: condition === 'cold'})]);
      return null;
    });
    // Nobody else has a store to wake from.
    if (condition === 'cold') continue;
    await attempts.run({...subject, case: `${server.name} without the gateway`, subject: `${server.id} peers`}, async () => {
      add(await openPeers(server, directory, scope));
      return null;
    });
  }
  for (let round = 1; round <= rounds; round++) {
    progress(`${condition}: round ${round} of ${rounds}`);
    for (let at = 0; at < turns.length; at++) {
      const turn = turns[(at + round * roundStep) % turns.length];
      if (turn === undefined || round > (turn.way.roundsMax ?? rounds)) continue;
      const {server, rootfs, way} = turn;
      const attempt = {case: caseName(server, way.name, condition), round, subject: `${server.id} ${way.name}`, recover: () => recover(gateway, turn)};
      await attempts.run(attempt, async () => {
        await gateway.untilQuiet();
        await sleep(restMs, undefined, {signal});
        if (condition === 'uncached') await forgetFiles([rootfs, ...way.reads]);
        return way.wake();
      });
    }
  }
}

/** An app that was left awake is put to sleep; the others have ended what they began. */
async function recover(gateway: BenchGateway, {server, way}: Turn): Promise<void> {
  if (way.name === 'Picogate' && (await gateway.record(server.id)).state === 'running') await gateway.hibernate(server.id);
}

async function openGateway(
  condition: Condition,
  signal: AbortSignal,
  scope: AsyncDisposableStack,
): Promise<{readonly gateway: BenchGateway; readonly apps: readonly PicogateApp[]}> {
  const apps: PicogateApp[] = [];
  for (const server of servers) apps.push({server, rootfs: await rootfsWith(...server.packages), port: await freePort()});
  const place = condition === 'cold' ? scope.use(await openColdStore(signal)) : {globals: [], env: {}};
  const gateway = scope.use(await startBenchGateway({signal, globals: place.globals, env: place.env, configure: (programs) => renderApps(apps, programs)}));
  return {gateway, apps};
}
