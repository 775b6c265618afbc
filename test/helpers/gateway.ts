/** A gateway started from outside, as an operator does: `bin/picogate run -f FILE` in a state directory of its own. */
import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {mkdtemp, readdir, readFile, rm, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import type {ExecutionContext} from 'ava';
import {connectToGateway, command as giveCommand} from '../../src/cli/remote.ts';
import {run} from '../../src/core/command.ts';
import {errorMessage} from '../../src/core/errors.ts';
import {appName} from '../../src/core/ids.ts';
import type {AppRecord} from '../../src/store/app-record.ts';
import {openPlacements, residencyOf} from '../../src/store/placements.ts';
import {openState} from '../../src/store/state.ts';
import {runs} from './gateway-processes.ts';

export const programPath = fileURLToPath(new URL('../../bin/picogate', import.meta.url));

/** What Redis has of an app, and where its state is. */
export type AppRow = Omit<AppRecord, 'generation'> & ReturnType<typeof residencyOf> & {readonly generation: number | null};

/** What is needed of a test: what was made is removed at its end, and what was logged is shown when it has failed. */
export type TestEnd = Pick<ExecutionContext, 'log' | 'passed' | 'teardown'>;

/** What of a gateway runs in a process. */
export type TestCommand = 'run' | 'supervisor' | 'edge';

export interface TestGateway {
  readonly stateDir: string;
  readonly configFile: string;
  /** Starts it and waits until it is ready. */
  start(): Promise<void>;
  /** Sends a signal and waits for the end. */
  stop(signal?: NodeJS.Signals): Promise<{exitCode: number | null}>;
  readonly pid: number;
  /** Runs a command of the CLI against this gateway: a process, which is most of what a test takes when it does so again and again. */
  cli(...args: readonly string[]): Promise<string>;
  app(name: string): Promise<AppRow>;
  /** @throws Error when the app does not sleep then */
  hibernate(name: string): Promise<void>;
  /** Waits until the app is in a state. */
  reaches(name: string, state: string): Promise<AppRow>;
  /** What the gateway wrote to standard error. */
  log(): Promise<string>;
}

const controlTimeoutMs = 60_000;

const given = new Set<number>();

/** One that was free a moment ago, and another one each time: several programs may listen on one port, and each would get a part of its clients. */
export async function freePort(): Promise<number> {
  const {createServer} = await import('node:net');
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port');
  const {port} = address;
  if (given.has(port)) return freePort();
  given.add(port);
  return port;
}

/**
 * @param sections apps, frontends and backends; `global` and `defaults` are added
 * @param options.under a program with its arguments that starts the gateway: in a namespace, with less rights
 * @param options.command what of the gateway runs
 * On teardown the gateway is stopped, what it left is removed, and the test fails if anything of it remains.
 */
export async function testGateway(
  t: TestEnd,
  sections: string,
  {globals = '', under = [], command = 'run'}: {globals?: string; under?: readonly string[]; command?: TestCommand} = {},
): Promise<TestGateway> {
  const stateDir = await mkdtemp('/var/tmp/picogate-test-');
  const configFile = join(stateDir, 'picogate.cfg');
  const logFile = join(stateDir, 'gateway.log');
  await writeFile(
    configFile,
    `global
    state-dir ${stateDir}
${globals}
defaults
    mode tcp
    timeout connect 5s
    timeout client 1h
    timeout server 1h
    timeout wake 20s
    hibernate-after 1s
${sections}
`,
  );
  let child: ReturnType<typeof spawn> | undefined;
  let ended: Promise<unknown[]> | undefined;
  const cli = async (...args: readonly string[]): Promise<string> => (await run([programPath, ...args, '-f', configFile], {timeoutMs: 60_000})).stdout;
  const gateway: TestGateway = {
    stateDir,
    configFile,
    get pid() {
      if (child?.pid === undefined) throw new Error('the gateway does not run');
      return child.pid;
    },
    async start() {
      const {open} = await import('node:fs/promises');
      const log = await open(logFile, 'a');
      const [file, ...args] = [...under, programPath];
      child = spawn(file, [...args, command, '-f', configFile, '--ready-fd', '3'], {
        stdio: ['ignore', log.fd, log.fd, 'pipe'],
        detached: true,
      });
      await log.close();
      ended = once(child, 'exit');
      const ready = child.stdio[3];
      if (ready === null || ready === undefined) throw new Error('no pipe');
      const first = await Promise.race([once(ready, 'data').then(() => 'ready'), ended.then(() => 'ended')]);
      if (first === 'ended') throw new Error(`the gateway ended: ${await gateway.log()}`);
    },
    async stop(signal = 'SIGTERM') {
      if (child === undefined || ended === undefined) return {exitCode: null};
      child.kill(signal);
      await ended;
      const {exitCode} = child;
      child = undefined;
      return {exitCode};
    },
    cli,
    async app(name) {
      const {connection} = await connectToGateway([configFile]);
      await using owned = connection;
      const record = await openState(owned).readApp(appName(name));
      if (record === null) throw new Error(`no app ${name}`);
      return {...record, ...residencyOf(record, (await openPlacements(owned).read()).get(record.name))};
    },
    async hibernate(name) {
      const result = await giveCommand([configFile], 'hibernate', {name}, controlTimeoutMs);
      if (result !== 'hibernated') throw new Error(`the hibernation of ${name} ended with ${JSON.stringify(result)}`);
    },
    async reaches(name, state) {
      const deadline = performance.now() + 30_000;
      for (;;) {
        // Redis may have been killed a moment ago.
        const row = await gateway.app(name).catch((error: unknown) => errorMessage(error));
        if (typeof row === 'object' && row.state === state) return row;
        if (performance.now() > deadline) throw new Error(`${name} is ${typeof row === 'object' ? row.state : row}, not ${state}: ${await gateway.log()}`);
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    },
    log: () => readFile(logFile, 'utf8').catch(() => ''),
  };
  t.teardown(async () => {
    await gateway.stop();
    if (!t.passed) t.log((await gateway.log()).slice(-6000));
    const {cleanup} = await import('../../src/cli/cleanup.ts');
    await cleanup([configFile]);
    const left = await leftovers(stateDir);
    await rm(stateDir, {recursive: true, force: true});
    if (left.length > 0) throw new Error(`left behind: ${left.join(', ')}`);
  });
  return gateway;
}

/** What of a gateway with this state directory still exists in the kernel. */
export async function leftovers(stateDir: string): Promise<string[]> {
  const {gatewayIdentity} = await import('../../src/core/ids.ts');
  const identity = gatewayIdentity(stateDir);
  const found: string[] = [];
  const mounts = await readFile('/proc/self/mounts', 'utf8');
  found.push(...mounts.split('\n').filter((line) => line.includes(stateDir)));
  for (const argv of [
    ['ip', '-o', 'link'],
    ['ip', 'netns', 'list'],
    ['nft', 'list', 'tables'],
  ] as const) {
    const {stdout} = await run(argv, {timeoutMs: 5000});
    found.push(
      ...stdout.split('\n').filter((line) => line.includes(`pg${identity}`) || line.includes(`picogate-${identity}`) || line.includes(`picogate_${identity}`)),
    );
  }
  // The pager, redis-server and CRIU have it in their arguments, the keepers of page faults in their environment.
  for (const entry of await readdir('/proc')) {
    if (!/^[0-9]+$/.test(entry)) continue;
    if (!(await runs(Number(entry)))) continue;
    const groups = await readFile(`/proc/${entry}/cgroup`, 'latin1').catch(() => '');
    const texts = await Promise.all(['cmdline', 'environ'].map((file) => readFile(`/proc/${entry}/${file}`, 'latin1').catch(() => '')));
    if (groups.includes(`/picogate/${identity}/`) || texts.some((text) => text.includes(stateDir)))
      found.push(`process ${entry}: ${texts[0]?.replaceAll('\0', ' ') ?? ''}`);
  }
  return found;
}
