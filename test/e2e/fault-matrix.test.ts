/**
 * The fault matrix: at every step of a wake, of what is prepared for it, and of a hibernation, kill -9 of each process that takes part. The gateway
 * stops itself at the step, the victim is killed, the gateway goes on. The supervisor is a part of the gateway's process and dies with it, unless it
 * runs by itself, beside an edge.
 *
 * Afterwards the app must run or be at a complete generation, no older than the last that was acknowledged, with memory and files that belong
 * together; and the client that waited must have had an answer or a refusal. A part of the matrix is tried by default, all of it with
 * PICOGATE_FAULT_MATRIX=all, what contains a text with PICOGATE_FAULT_MATRIX='hibernate:stored redis'; the table is printed with the test's result.
 */
import {readFile} from 'node:fs/promises';
import type {ExecutionContext} from 'ava';
import {run} from '../../src/core/command.ts';
import {type FaultPoint, faultPoints} from '../../src/core/fault-point.ts';
import {gatewayIdentity} from '../../src/core/ids.ts';
import {askUntilAnswered, durableApp, durableGateway, listen, verified} from '../helpers/durable-app.ts';
import {armFaultPoint} from '../helpers/fault-point.ts';
import {freePort, programPath, type TestGateway, testGateway} from '../helpers/gateway.ts';
import {appPids, criuPids, killed, pagerPid, redisPid} from '../helpers/gateway-processes.ts';
import {ask} from '../helpers/line-client.ts';
import {lonelyRedis} from '../helpers/redis-servers.ts';
import {serialRootTest as rootTest} from '../helpers/root-test.ts';
import {until} from '../helpers/until.ts';

const victims = ['gateway', 'pager', 'criu', 'redis', 'app'] as const;
type Victim = (typeof victims)[number] | 'supervisor';
type Case = readonly [FaultPoint, Victim];

const points = Object.keys(faultPoints).filter((point): point is FaultPoint => point.startsWith('supervisor:'));
/** At the others there is no such process, or only one that waits for the next wake. */
const hasApp = new Set<FaultPoint>([
  'supervisor:wake:processes-made',
  'supervisor:wake:restored',
  'supervisor:wake:routed',
  'supervisor:hibernate:unrouted',
  'supervisor:hibernate:dump-begun',
  'supervisor:hibernate:frozen',
  'supervisor:hibernate:stored',
  'supervisor:hibernate:pointed',
]);
const hasCriu = new Set<FaultPoint>([
  'supervisor:standby:mounted',
  'supervisor:standby:inside',
  'supervisor:wake:leased',
  'supervisor:wake:prepared',
  'supervisor:wake:mounted',
  'supervisor:wake:processes-made',
  'supervisor:hibernate:dump-begun',
  'supervisor:hibernate:frozen',
  'supervisor:hibernate:stored',
  'supervisor:hibernate:pointed',
]);

function isPossible([point, victim]: Case): boolean {
  return (victim !== 'app' || hasApp.has(point)) && (victim !== 'criu' || hasCriu.has(point));
}

const wholeMatrix = points.flatMap((point) => victims.map((victim): Case => [point, victim])).filter(isPossible);
const wholeOfSupervisor = points.map((point): Case => [point, 'supervisor']);
/** The moments that have most to lose. */
const partOfMatrix: readonly Case[] = [
  ['supervisor:standby:inside', 'gateway'],
  ['supervisor:wake:processes-made', 'gateway'],
  ['supervisor:wake:restored', 'app'],
  ['supervisor:hibernate:frozen', 'app'],
  ['supervisor:hibernate:stored', 'gateway'],
  ['supervisor:hibernate:stored', 'redis'],
  ['supervisor:hibernate:pointed', 'pager'],
  ['supervisor:hibernate:pointed', 'criu'],
];
const partOfSupervisor: readonly Case[] = [
  ['supervisor:wake:restored', 'supervisor'],
  ['supervisor:hibernate:stored', 'supervisor'],
];

function wantedCases(whole: readonly Case[], part: readonly Case[]): readonly Case[] {
  const wanted = process.env['PICOGATE_FAULT_MATRIX'];
  if (wanted === undefined) return part;
  return wanted === 'all' ? whole : whole.filter((one) => one.join(' ').includes(wanted));
}

async function isStopped(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, 'latin1');
  return stat.slice(stat.lastIndexOf(')') + 2).startsWith('T');
}

/** What stands still itself is started again. */
function isWhole(victim: Victim): victim is 'gateway' | 'supervisor' {
  return victim === 'gateway' || victim === 'supervisor';
}

async function pidsOf(victim: Exclude<Victim, 'gateway' | 'supervisor'>, {stateDir}: TestGateway): Promise<readonly number[]> {
  switch (victim) {
    case 'pager':
      return [await pagerPid(stateDir)];
    case 'redis':
      return [await redisPid(stateDir)];
    case 'criu':
      return criuPids(gatewayIdentity(stateDir), 'a');
    case 'app':
      return appPids(gatewayIdentity(stateDir), 'a');
    default:
      return victim satisfies never;
  }
}

interface Known {
  /** What the app had counted when its last generation was acknowledged, and how many lines it had written. */
  readonly counter: number;
  readonly lines: number;
  readonly generation: number;
}

async function counts(port: number): Promise<{counter: number; lines: number}> {
  const [counter = Number.NaN, lines = Number.NaN] = (await askUntilAnswered(port, 'agree')).split(' ').map(Number);
  return {counter, lines};
}

/** Kills the victim while the gateway stands still. @returns whether there was one */
async function kill(gateway: TestGateway, victim: Victim): Promise<boolean> {
  if (isWhole(victim)) {
    await gateway.stop('SIGKILL');
    return true;
  }
  const pids = await pidsOf(victim, gateway);
  for (const pid of pids) await killed(pid);
  process.kill(gateway.pid, 'SIGCONT');
  return pids.length > 0;
}

/** The app sleeps at a generation that is acknowledged. */
async function asleep(gateway: TestGateway, port: number): Promise<Known> {
  const known = await counts(port);
  await until(
    () =>
      gateway.cli('hibernate', 'a').then(
        () => true,
        () => false,
      ),
    {timeoutMs: 30_000, intervalMs: 200, what: 'a hibernation'},
  );
  return {...known, generation: (await gateway.app('a')).generation ?? 0};
}

/** What is wrong afterwards; null when nothing is. */
function faultIn(victim: Victim, before: Known, after: {counter: number; lines: number; generation: number; verify: string}): string | null {
  if (after.verify !== verified) return after.verify;
  if (after.generation < before.generation) return `generation ${after.generation} after ${before.generation}`;
  // An app that ends by itself is started from the files it left.
  if (victim === 'app' && after.lines - after.counter >= before.lines) return null;
  if (after.lines - after.counter !== before.lines - before.counter) return `memory and files differ: ${after.counter} and ${after.lines}`;
  return after.counter >= before.counter ? null : `${after.counter} after ${before.counter}`;
}

interface Row {
  readonly point: FaultPoint;
  readonly victim: Victim;
  readonly client: string;
  readonly state: string;
  readonly generation: string;
  readonly fault: string | null;
}

async function outcomeOf(answer: Promise<string>): Promise<string> {
  return answer.then(
    () => 'answered',
    (error: unknown) => (error instanceof Error && error.message.startsWith('no line') ? 'NO ANSWER' : 'refused'),
  );
}

async function tryCase(
  t: ExecutionContext,
  [point, victim]: Case,
  {gateway, port}: {gateway: TestGateway; port: number},
  before: Known,
): Promise<{row: Row; known: Known}> {
  await gateway.stop('SIGKILL');
  await using scope = new AsyncDisposableStack();
  await using armed = await armFaultPoint(point, 1, 'stop');
  await gateway.start();
  // A wake would come before what is prepared for it.
  if (point.startsWith('supervisor:standby:')) await until(() => armed.hasKilled(), {what: point});
  let client = outcomeOf(ask(port, 'count'));
  if (point.startsWith('supervisor:hibernate:')) {
    t.is(await client, 'answered');
    const given = new AbortController();
    const sleeping = run([programPath, 'hibernate', 'a', '-f', gateway.configFile], {timeoutMs: 60_000, signal: given.signal}).catch(() => undefined);
    // It may wait for an answer of somebody who is dead.
    scope.defer(async () => {
      given.abort();
      await sleeping;
    });
    await until(() => armed.hasKilled(), {what: point});
    client = outcomeOf(ask(port, 'count'));
  }
  await until(() => armed.hasKilled(), {what: point});
  await until(() => isStopped(gateway.pid), {what: 'the gateway to stand still'});
  const wasThere = await kill(gateway, victim);
  await armed[Symbol.asyncDispose]();
  if (isWhole(victim)) await gateway.start();
  const result = wasThere ? await client : 'nobody to kill';
  const {counter, lines} = await counts(port);
  const verify = await askUntilAnswered(port, 'verify');
  const {state, generation} = await gateway.app('a');
  const fault = faultIn(victim, before, {counter, lines, generation: generation ?? 0, verify}) ?? (result === 'NO ANSWER' ? 'a client got no answer' : null);
  const row = {point, victim, client: result, state, generation: `${before.generation} -> ${generation ?? 0}`, fault};
  return {row, known: await asleep(gateway, port)};
}

function printed(rows: readonly Row[]): string {
  const lines = [
    ['step', 'killed', 'client', 'app', 'generation', 'result'],
    ...rows.map(({point, victim, client, state, generation, fault}) => [point.replace('supervisor:', ''), victim, client, state, generation, fault ?? 'ok']),
  ];
  const widths = (lines[0] ?? []).map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)));
  return lines.map((line) => line.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ')).join('\n');
}

/** None may have a fault. @returns what came of each */
async function tryAll(t: ExecutionContext, cases: readonly Case[], {gateway, port}: {gateway: TestGateway; port: number}): Promise<readonly Row[]> {
  t.is(await ask(port, 'count'), '1');
  let known = await asleep(gateway, port);
  const rows: Row[] = [];
  try {
    for (const one of cases) {
      const tried = await tryCase(t, one, {gateway, port}, known);
      rows.push(tried.row);
      ({known} = tried);
    }
  } finally {
    t.log(printed(rows));
  }
  t.deepEqual(
    rows.filter(({fault}) => fault !== null),
    [],
  );
  return rows;
}

rootTest('the fault matrix: nothing is lost at any step, whoever dies', async (t) => {
  t.timeout(1_800_000);
  const scene = await durableGateway(t);
  await scene.gateway.start();
  await tryAll(t, wantedCases(wholeMatrix, partOfMatrix), scene);
});

rootTest('the fault matrix of a supervisor beside an edge: nothing is lost, and who waits at the edge is answered', async (t) => {
  t.timeout(1_800_000);
  const redis = await lonelyRedis();
  t.teardown(() => redis[Symbol.asyncDispose]());
  const port = await freePort();
  const sections = `${await durableApp('a', ['hibernate-after never'])}${listen('a', port)}`;
  const globals = `    redis ${redis.url}\n`;
  const gateway = await testGateway(t, sections, {globals, command: 'supervisor'});
  const edge = await testGateway(t, sections, {globals, command: 'edge'});
  await gateway.start();
  await edge.start();
  const rows = await tryAll(t, wantedCases(wholeOfSupervisor, partOfSupervisor), {gateway, port});
  t.deepEqual(
    rows.filter(({client}) => client !== 'answered'),
    [],
  );
});
