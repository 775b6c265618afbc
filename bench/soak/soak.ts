/** Clients ask, things are done to the gateway in an order that follows from a seed, and at each rest everything is read and counted. */
import {cp} from 'node:fs/promises';
import {join} from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import {fileURLToPath} from 'node:url';
import {randomNumbers} from '../../test/helpers/random.ts';
import {untilQuiet} from '../bench-gateway.ts';
import {countResources, type Resources} from './resources.ts';
import {lastingApps, passingApp, pythonApp, renderConfiguration, type SoakFiles, soakPorts, soakRoots} from './soak-apps.ts';
import {soakGateway} from './soak-gateway.ts';
import {type SoakWorld, soakWorld, type Tally} from './soak-world.ts';
import {pick, putToSleep, type StepTools, steps, takeStep} from './steps.ts';
import {count, readAll, runClient} from './traffic.ts';

const fixtures = fileURLToPath(new URL('../../test/fixtures', import.meta.url));
const clientCount = 3;
const sleepTimeoutMs = 60_000;
/** An app that still closes its last connection is not put to sleep, and needs time without an attempt for it. */
const sleepRetryMs = 1000;

export interface Rest extends Resources {
  readonly atMs: number;
}

export interface SoakOptions {
  readonly seed: number;
  /** What happens between two rests; null: nothing more. */
  readonly interval: (index: number) => Interval | null;
  readonly signal: AbortSignal;
  readonly onRest: (rest: Rest, tally: Tally) => void;
}

/** Each step once, in an order that is drawn; or, for so long, any. Hard ones end processes of the gateway. */
export type Interval = {readonly kind: 'each'} | {readonly kind: 'time'; readonly durationMs: number; readonly isHard: boolean};

export interface SoakResult {
  readonly rests: readonly Rest[];
  readonly tally: Tally;
  /** Writes of all apps. */
  readonly acknowledged: number;
  readonly lost: number;
}

/** The gateway and all that belongs to it are gone afterwards. @throws Error when it cannot be started, or `signal` aborts */
export async function soak({seed, interval, signal, onRest}: SoakOptions): Promise<SoakResult> {
  await using gateway = await soakGateway();
  const programs = join(gateway.stateDir, 'programs');
  await cp(fixtures, programs, {recursive: true});
  const [ports, files]: [Awaited<ReturnType<typeof soakPorts>>, SoakFiles] = [await soakPorts(), {...(await soakRoots()), programs}];
  const random = randomNumbers(seed);
  const world = soakWorld(gateway, ports);
  const tools: StepTools = {
    world,
    random,
    configuration: (hasPassing) => renderConfiguration({stateDir: gateway.stateDir, files, ports, hasPassing}),
    section: (name) => pythonApp(name, files, 'never'),
  };
  await gateway.start(tools.configuration(true));
  const clients = Array.from({length: clientCount}, (_, id) => runClient(world, randomNumbers(seed * 100 + id)));
  const rests: Rest[] = [];
  try {
    for (let index = 0, next = interval(0); next !== null; index++, next = interval(index)) {
      await (next.kind === 'each' ? takeEach(tools) : takeAny(tools, next, signal));
      signal.throwIfAborted();
      await world.rest(async () => {
        await settle(world, signal);
        const rest = {atMs: world.nowMs(), ...(await countResources(gateway))};
        rests.push(rest);
        onRest(rest, world.tally);
      });
    }
  } finally {
    world.end();
    await Promise.all(clients);
  }
  const ledgers = Object.values(world.ledgers);
  const sum = (of: 'acknowledged' | 'lost'): number => ledgers.reduce((total, ledger) => total + ledger[of], 0);
  return {rests, tally: world.tally, acknowledged: sum('acknowledged'), lost: sum('lost')};
}

async function takeEach(tools: StepTools): Promise<void> {
  const left = [...steps];
  while (left.length > 0) {
    const step = pick(tools.random, left);
    left.splice(left.indexOf(step), 1);
    await takeStep(step, tools);
  }
}

async function takeAny(tools: StepTools, {durationMs, isHard}: Interval & {kind: 'time'}, signal: AbortSignal): Promise<void> {
  const untilMs = performance.now() + durationMs;
  const possible = steps.filter((step) => isHard || !step.isHard);
  while (performance.now() < untilMs && !signal.aborted) {
    await takeStep(pick(tools.random, possible), tools);
    await sleep(tools.random() * 1500);
  }
}

/** All apps have run, and sleep. */
async function settle(world: SoakWorld, signal: AbortSignal): Promise<void> {
  const {gateway, ports} = world;
  try {
    await readAll(world);
    await gateway.command('wake', {name: 'site'});
    await count(ports.tcp[passingApp]);
    for (const name of [...lastingApps, passingApp] as const) await fallsAsleep(world, name);
    await untilQuiet(gateway.pid, signal);
  } catch (error) {
    signal.throwIfAborted();
    world.violation(`at rest: ${String(error)}`);
  }
}

async function fallsAsleep(world: SoakWorld, name: Parameters<typeof putToSleep>[1]): Promise<void> {
  const deadlineMs = performance.now() + sleepTimeoutMs;
  for (let found = ''; found !== 'hibernated'; ) {
    if (performance.now() > deadlineMs) throw new Error(`${name} does not fall asleep: ${found}; ${await world.gateway.cli('explain', name)}`);
    found = await putToSleep(world, name);
    if (found !== 'hibernated') await sleep(sleepRetryMs);
  }
}
