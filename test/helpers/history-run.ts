/** Makes a history: three workers with one app, clients at all edges, and somebody who breaks things, by a seed. */
import {readdir, stat} from 'node:fs/promises';
import {setTimeout as sleep} from 'node:timers/promises';
import type {ExecutionContext} from 'ava';
import {run} from '../../src/core/command.ts';
import {appName, gatewayIdentity} from '../../src/core/ids.ts';
import {createLog} from '../../src/core/log.ts';
import {namespaceDirectory, namespacePrefix} from '../../src/nat/names.ts';
import {connectRedis} from '../../src/store/connection.ts';
import {storeKeys} from '../../src/store/keys.ts';
import {durableApp, verified} from './durable-app.ts';
import {freePort, programPath} from './gateway.ts';
import type {Entry} from './history.ts';
import {type LineClient, lineClient} from './line-client.ts';
import {randomNumbers} from './random.ts';
import {until} from './until.ts';
import {type CutOffFrom, leaseMs, type TestWorker, workerNetwork} from './worker-network.ts';

const clientCount = 3;
/** Longer than `timeout wake`: who is held is refused before. */
const answerMs = 30_000;
/** Clients at an edge that is cut off hear nothing; what they asked for may be done later. */
const patienceMs = 4000;
const commandMs = 15_000;
const sampleMs = 50;

interface Node {
  readonly worker: TestWorker;
  isUp: boolean;
  isPaused: boolean;
  isDrained: boolean;
  cutFrom: CutOffFrom | null;
  /** Since when it may have lost its leases. */
  troubleMs: number;
}

interface World {
  readonly nodes: readonly Node[];
  readonly port: number;
  readonly random: () => number;
  readonly entries: Entry[];
  readonly story: string[];
  readonly nowMs: () => number;
  isOver: boolean;
}

type Step = readonly [weight: number, name: string, run: () => Promise<unknown>];

function pick<T>(random: () => number, from: readonly T[]): T {
  const found = from[Math.floor(random() * from.length)];
  if (found === undefined) throw new Error('nothing to choose from');
  return found;
}

/** @returns what was seen, and what was done, for people */
export async function recordHistory(
  t: ExecutionContext,
  {seed, steps}: {readonly seed: number; readonly steps: number},
): Promise<{readonly entries: readonly Entry[]; readonly story: readonly string[]}> {
  const network = await workerNetwork(t);
  const port = await freePort();
  const listener = `listen a\n    bind 0.0.0.0:${port}\n    server s app:a:80\n`;
  const sections = `${await durableApp('a', ['hibernate-after never'], {mebibytes: 1})}${listener}`;
  const workers: TestWorker[] = [];
  for (const name of ['w1', 'w2', 'w3']) workers.push(await network.worker(name, sections));
  const nodes = workers.map((worker): Node => ({worker, isUp: true, isPaused: false, isDrained: false, cutFrom: null, troubleMs: 0}));
  const startedMs = performance.now();
  const world: World = {
    nodes,
    port,
    random: randomNumbers(seed),
    entries: [],
    story: [],
    // Not whole milliseconds: a read that was sent just before an answer came would seem to be a later one.
    nowMs: () => Math.round((performance.now() - startedMs) * 1000) / 1000,
    isOver: false,
  };
  // A gateway that is paused does not end at the teardown.
  t.teardown(() => {
    for (const {worker, isPaused} of nodes) if (isPaused) process.kill(worker.gateway.pid, 'SIGCONT');
  });
  await Promise.all(workers.map(({gateway}) => gateway.start()));
  const sampling = sampleLeases(world, network.redisUrl);
  const clients = Array.from({length: clientCount}, (_, id) => runClient(world, id, randomNumbers(seed * 100 + id)));
  await until(() => world.entries.some(({kind}) => kind === 'write'), {timeoutMs: answerMs, what: 'a first write'});
  await breakThings(world, steps);
  await mendAll(world);
  world.isOver = true;
  await Promise.all([...clients, sampling]);
  await lastReads(t, world);
  return {entries: world.entries, story: world.story};
}

function tell(world: World, text: string): void {
  world.story.push(`${world.nowMs()} ${text}`);
}

/** In the order of the seed; how long each takes is not. */
async function breakThings(world: World, count: number): Promise<void> {
  for (let done = 0; done < count; done += 1) {
    const [, name, take] = choose(world.random, [...world.nodes.flatMap((node) => stepsFor(world, node)), ...stepsForApp(world)]);
    tell(world, name);
    await take();
    tell(world, `${name}: done`);
    await sleep(world.random() ** 2 * leaseMs * 1.5);
  }
}

function choose(random: () => number, steps: readonly Step[]): Step {
  const total = steps.reduce((sum, [weight]) => sum + weight, 0);
  let left = random() * total;
  for (const step of steps) {
    left -= step[0];
    if (left < 0) return step;
  }
  throw new Error('no step');
}

function isWell({isUp, isPaused, isDrained, cutFrom}: Node): boolean {
  return isUp && !isPaused && !isDrained && cutFrom === null;
}

/** At least one worker stays well. */
function stepsFor(world: World, node: Node): Step[] {
  const {worker} = node;
  const {name} = worker;
  if (!node.isUp) return [[6, `start ${name}`, () => start(node)]];
  if (node.isPaused) return [[6, `resume ${name}`, () => resume(world, node)]];
  if (node.cutFrom !== null) return [[6, `heal ${name}`, () => heal(world, node)]];
  if (node.isDrained) return [[4, `undrain ${name}`, () => undrain(world, node)]];
  if (!world.nodes.some((other) => other !== node && isWell(other))) return [];
  return [
    [1.5, `kill ${name}`, () => kill(world, node)],
    [0.7, `stop ${name}`, () => stop(node)],
    [1, `pause ${name}`, () => pause(world, node)],
    [1, `drain ${name}`, () => drain(world, node)],
    ...(['all', 'redis', 'store'] as const).map((from): Step => [0.7, `cut ${name} off from ${from}`, () => cut(world, node, from)]),
  ];
}

function stepsForApp(world: World): Step[] {
  return [
    [2, 'hibernate', () => command(world, 'hibernate', 'a')],
    [3, 'hibernate --cold', () => hibernateCold(world)],
    [1, 'wake', () => command(world, 'wake', 'a')],
  ];
}

/** Given by an operator whose way to Redis is not cut. @returns what was printed; null when it failed */
async function command({nodes}: World, ...words: readonly string[]): Promise<string | null> {
  const file = nodes[0]?.worker.gateway.configFile ?? '';
  try {
    return (await run([programPath, ...words, '-f', file], {timeoutMs: commandMs})).stdout;
  } catch {
    return null; // What is refused, or not answered in time, is not acknowledged.
  }
}

async function hibernateCold(world: World): Promise<void> {
  const fromMs = world.nowMs();
  const said = await command(world, 'hibernate', 'a', '--cold');
  if (said?.includes('hibernated')) world.entries.push({kind: 'durable', fromMs, toMs: world.nowMs()});
  tell(world, `  ${said?.trim() ?? 'failed'}`);
}

async function drain(world: World, node: Node): Promise<void> {
  const fromMs = world.nowMs();
  node.isDrained = true;
  const said = await command(world, 'drain', node.worker.name);
  if (said?.includes('moved: a')) world.entries.push({kind: 'durable', fromMs, toMs: world.nowMs()});
  tell(world, `  ${said?.trim() ?? 'failed'}`);
}

/** @returns whether that is so now */
async function undrain(world: World, node: Node): Promise<boolean> {
  node.isDrained = (await command(world, 'undrain', node.worker.name)) === null;
  return !node.isDrained;
}

async function start(node: Node): Promise<void> {
  await node.worker.gateway.start();
  node.isUp = true;
}

async function stop(node: Node): Promise<void> {
  node.isUp = false;
  await node.worker.gateway.stop();
}

async function kill(world: World, node: Node): Promise<void> {
  const fromMs = world.nowMs();
  node.isUp = false;
  await node.worker.gateway.stop('SIGKILL');
  world.entries.push({kind: 'fault', worker: node.worker.name, fromMs, toMs: world.nowMs()});
}

async function pause(world: World, node: Node): Promise<void> {
  [node.isPaused, node.troubleMs] = [true, world.nowMs()];
  process.kill(node.worker.gateway.pid, 'SIGSTOP');
  await Promise.resolve();
}

async function resume(world: World, node: Node): Promise<void> {
  process.kill(node.worker.gateway.pid, 'SIGCONT');
  node.isPaused = false;
  await Promise.resolve();
  endTrouble(world, node);
}

async function cut(world: World, node: Node, from: CutOffFrom): Promise<void> {
  [node.cutFrom, node.troubleMs] = [from, world.nowMs()];
  await node.worker.cutOff(from);
}

async function heal(world: World, node: Node): Promise<void> {
  const {cutFrom} = node;
  await node.worker.cutOff(null);
  node.cutFrom = null;
  if (cutFrom !== 'store') endTrouble(world, node);
}

/** A lease is extended three times per period: what is shorter than that leaves it be. */
function endTrouble({nowMs, entries}: World, {worker, troubleMs}: Node): void {
  const toMs = nowMs();
  if (toMs - troubleMs > leaseMs / 2) entries.push({kind: 'fault', worker: worker.name, fromMs: troubleMs, toMs});
}

async function mendAll(world: World): Promise<void> {
  tell(world, 'mend all');
  for (const node of world.nodes) {
    if (node.isPaused) await resume(world, node);
    if (node.cutFrom !== null) await heal(world, node);
    if (!node.isUp) await start(node);
    if (node.isDrained) await until(() => undrain(world, node), {timeoutMs: answerMs, what: 'undrain'});
  }
  tell(world, 'all mended');
}

/** All edges lead to the same app, whose memory is whole. */
async function lastReads(t: ExecutionContext, world: World): Promise<void> {
  for (const {worker} of world.nodes) {
    const client = await lineClient(world.port, {host: worker.address, timeoutMs: answerMs});
    await ask(world, client, 'all', 'last');
    t.is(await client.request('verify'), verified.replace('2048', '256'));
    client[Symbol.dispose]();
  }
  const reads = world.entries.flatMap((entry) => (entry.kind === 'read' ? [entry.values.join(' ')] : [])).slice(-world.nodes.length);
  t.is(new Set(reads).size, 1, 'the edges lead to different apps');
}

/** Writes and reads at one edge after the other, often for a while on one connection. */
async function runClient(world: World, id: number, random: () => number): Promise<void> {
  let client: LineClient | undefined;
  for (let count = 0; !world.isOver; count += 1) {
    const value = `${id}.${count}`;
    const isWrite = random() < 0.7;
    try {
      client ??= await lineClient(world.port, {host: pick(random, world.nodes).worker.address, timeoutMs: patienceMs});
      await ask(world, client, isWrite ? `put ${value}` : 'all', value);
    } catch (error) {
      if (isWrite) world.entries.push({kind: 'unanswered write', value});
      if (String(error).includes('no line in')) tell(world, `  client ${id} had no answer for ${patienceMs} ms`);
      client?.[Symbol.dispose]();
      client = undefined;
    }
    if (random() < 0.2) {
      client?.[Symbol.dispose]();
      client = undefined;
    }
    await sleep(random() * 60);
  }
  client?.[Symbol.dispose]();
}

async function ask(world: World, client: LineClient, request: string, value: string): Promise<void> {
  const fromMs = world.nowMs();
  const [instance = '', ...values] = (await client.request(request)).split(' ');
  const answered = {fromMs, toMs: world.nowMs(), instance, worker: await workerOf(world, instance)};
  if (values[0] === 'differs') tell(world, `  MEMORY AND FILES DIFFER ${JSON.stringify(answered)}`);
  world.entries.push(request === 'all' ? {kind: 'read', values, ...answered} : {kind: 'write', value, ...answered});
}

const workersOfNetworks = new Map<string, string>();

/** By the network namespace of the app, which has a name that tells the gateway. */
async function workerOf({nodes}: World, instance: string): Promise<string> {
  const [network = ''] = instance.split('/');
  const known = workersOfNetworks.get(instance);
  if (known !== undefined) return known;
  const names = await readdir(namespaceDirectory);
  for (const {worker} of nodes) {
    const prefix = namespacePrefix(gatewayIdentity(worker.gateway.stateDir));
    for (const name of names) {
      if (!name.startsWith(prefix)) continue;
      const found = await stat(`${namespaceDirectory}/${name}`).catch(() => undefined); // Gone meanwhile.
      if (`net:[${found?.ino}]` === network) workersOfNetworks.set(instance, worker.name);
    }
  }
  return workersOfNetworks.get(instance) ?? 'unknown';
}

async function sampleLeases(world: World, url: string): Promise<void> {
  const keys = storeKeys();
  await using connection = await connectRedis({url, log: createLog('silent')});
  while (!world.isOver) {
    const [token, lease] = (await connection.call('MGET', keys.token(appName('a')), keys.lease(appName('a')))) as (string | null)[];
    const [, owned, worker] = /^(\d+) (.*)$/.exec(lease ?? '') ?? [];
    if (typeof token === 'string') world.entries.push({kind: 'lease', atMs: world.nowMs(), token: Number(owned ?? token), worker: worker ?? null});
    await sleep(sampleMs);
  }
}
