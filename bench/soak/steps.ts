/** What is done to the gateway while clients ask: what an operator does, and what happens to its processes. */
import {setTimeout as sleep} from 'node:timers/promises';
import {errorCode} from '../../src/core/errors.ts';
import {gatewayIdentity} from '../../src/core/ids.ts';
import {appPids, criuPids, killed, pagerPid, redisPid, runs} from '../../test/helpers/gateway-processes.ts';
import {until} from '../../test/helpers/until.ts';
import {lastingApps, passingApp, writers} from './soak-apps.ts';
import type {SoakWorld} from './soak-world.ts';
import {count} from './traffic.ts';

const recoveryMs = 30_000;
/** A dump or a restore takes about so long: it is broken at any moment of it. */
const operationMs = 200;
const addedApp = 'added';

export interface StepTools {
  readonly world: SoakWorld;
  readonly random: () => number;
  /** Without the passing app, or with it. */
  readonly configuration: (hasPassing: boolean) => string;
  /** The section of an app of this name. */
  readonly section: (name: string) => string;
}

export interface Step {
  readonly name: string;
  /** It ends processes of the gateway itself. */
  readonly isHard: boolean;
  readonly take: (tools: StepTools) => Promise<unknown>;
}

export const steps: readonly Step[] = [
  {name: 'sleep', isHard: false, take: async ({world, random}) => putToSleep(world, pick(random, lastingApps))},
  {name: 'wake', isHard: false, take: async ({world, random}) => world.gateway.command('wake', {name: pick(random, lastingApps)})},
  {name: 'reload', isHard: false, take: reloadTwice},
  {name: 'add and remove', isHard: false, take: addAndRemove},
  {name: 'kill CRIU', isHard: false, take: killCriu},
  {name: 'kill an app', isHard: false, take: killApp},
  {name: 'kill pager', isHard: true, take: killPager},
  {name: 'kill Redis', isHard: true, take: killRedis},
  {name: 'kill gateway', isHard: true, take: killGateway},
];

/** What it throws is a violation: none of them may fail. */
export async function takeStep({name, take}: Step, tools: StepTools): Promise<void> {
  const counts = tools.world.tally.steps;
  counts.set(name, (counts.get(name) ?? 0) + 1);
  await take(tools).catch((error: unknown) => tools.world.violation(`${name}: ${String(error)}`));
}

export function pick<T>(random: () => number, from: readonly T[]): T {
  const found = from[Math.floor(random() * from.length)];
  if (found === undefined) throw new Error('nothing to choose from');
  return found;
}

/** An app that is asked for something meanwhile may go on. @returns `hibernated`, or what it is or does instead */
export async function putToSleep({gateway, ledgers, nowMs}: SoakWorld, name: (typeof lastingApps)[number] | typeof passingApp): Promise<string> {
  const fromMs = nowMs();
  try {
    const result = await gateway.command('hibernate', {name});
    if (result === 'hibernated' && name !== 'site' && name !== passingApp) ledgers[name].checkpoint({fromMs, toMs: nowMs()});
    return result === 'hibernated' ? result : 'cancelled';
  } catch (error) {
    if (errorCode(error) !== 'ERR_NOT_RUNNING') throw error;
    return gateway.state(name);
  }
}

/** The passing app is taken away and comes back, as it was. */
async function reloadTwice({world: {gateway, ports}, configuration}: StepTools): Promise<void> {
  const port = ports.tcp[passingApp];
  const before = await count(port);
  await gateway.reload(configuration(false));
  await gateway.reload(configuration(true));
  const after = await count(port);
  if (after !== before + 1) throw new Error(`the app that came back counts ${after} after ${before}`);
}

async function addAndRemove({world: {gateway}, section}: StepTools): Promise<void> {
  await gateway.command('app add', {name: addedApp, text: section(addedApp)});
  await gateway.command('wake', {name: addedApp});
  await gateway.command('app rm', {name: addedApp, purge: true});
}

/** While one of its apps falls asleep or wakes. */
async function killCriu({world, random}: StepTools): Promise<void> {
  const app = pick(random, lastingApps);
  await world.disturb('CRIU killed', async () => {
    // What is broken may fail.
    const going = (random() < 0.5 ? putToSleep(world, app) : world.gateway.command('wake', {name: app})).catch(() => undefined);
    await sleep(random() * operationMs);
    for (const pid of await criuPids(gatewayIdentity(world.gateway.stateDir), app)) await end(pid);
    await going;
  });
}

async function killApp({world, random}: StepTools): Promise<void> {
  const app = pick(random, lastingApps);
  await world.disturb('app killed', async () => {
    const [pid] = await appPids(gatewayIdentity(world.gateway.stateDir), app);
    if (pid !== undefined) await end(pid);
  });
}

async function end(pid: number): Promise<void> {
  if (await runs(pid)) await killed(pid);
}

async function killPager({world, random}: StepTools): Promise<void> {
  const {stateDir} = world.gateway;
  const app = pick(random, lastingApps);
  await world.disturb('pager killed', async () => {
    const going = (random() < 0.5 ? putToSleep(world, app) : world.gateway.command('wake', {name: app})).catch(() => undefined);
    await sleep(random() * operationMs);
    const before = await pagerPid(stateDir);
    await killed(before);
    await until(async () => (await pagerPid(stateDir).catch(() => before)) !== before, {timeoutMs: recoveryMs, what: 'another pager'});
    await going;
  });
}

async function killRedis({world}: StepTools): Promise<void> {
  const {gateway} = world;
  await world.disturb('Redis killed', async () => {
    await killed(await redisPid(gateway.stateDir));
    const answers = async (): Promise<boolean> =>
      gateway.command('show', {name: 'site'}).then(
        () => true,
        () => false,
      );
    await until(answers, {timeoutMs: recoveryMs, intervalMs: 100, what: 'another Redis'});
  });
}

async function killGateway({world, configuration}: StepTools): Promise<void> {
  await world.disturb('gateway killed', async () => {
    const fromMs = world.nowMs();
    await world.gateway.kill();
    await world.gateway.start(configuration(true));
    for (const writer of writers) world.ledgers[writer].crash({fromMs, toMs: world.nowMs()});
  });
}
