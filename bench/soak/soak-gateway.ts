/** A gateway that is killed and started again on the same state, `bin/picogate run`, and controlled through its Redis. */
import {once} from 'node:events';
import {mkdtemp, open, readFile, rm, stat, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import {type Daemon, run, startDaemon} from '../../src/core/command.ts';
import {appName} from '../../src/core/ids.ts';
import {createLog} from '../../src/core/log.ts';
import {type Connection, connectRedis} from '../../src/store/connection.ts';
import {callControl} from '../../src/store/control.ts';
import type {Json} from '../../src/store/json.ts';
import {embeddedRedisPath} from '../../src/store/redis-server.ts';
import {openState} from '../../src/store/state.ts';
import {leftovers} from '../../test/helpers/gateway.ts';
import {killed, pagerPid, redisPid} from '../../test/helpers/gateway-processes.ts';
import {until} from '../../test/helpers/until.ts';
import {programPath} from '../bench-gateway.ts';

const readyDescriptor = 3;
const stopTimeoutMs = 60_000;
const commandTimeoutMs = 90_000;
const reloadTimeoutMs = 30_000;

export interface SoakGateway extends AsyncDisposable {
  readonly stateDir: string;
  readonly pid: number;
  readonly logFile: string;
  /** Resolves when it is ready. */
  start(configuration: string): Promise<void>;
  /** All that it is made of but the apps, at one moment. */
  kill(): Promise<void>;
  /** Resolves when the configuration counts. */
  reload(configuration: string): Promise<void>;
  /** What an operator's command does. @throws CodedError */
  command(name: string, args: Json): Promise<Json>;
  /** What Redis says of an app. */
  state(app: string): Promise<string>;
  /** Runs a command of the program. @throws CommandError */
  cli(...args: readonly [string, ...string[]]): Promise<string>;
}

/** It is not started yet. Disposed, it has stopped, and nothing of it is left: it throws when something is. */
export async function soakGateway(): Promise<SoakGateway> {
  await using scope = new AsyncDisposableStack();
  const stateDir = await mkdtemp('/var/tmp/picogate-bench-');
  scope.defer(() => rm(stateDir, {recursive: true, force: true}));
  const configFile = join(stateDir, 'picogate.cfg');
  const logFile = join(stateDir, 'gateway.log');
  const cli = async (...args: readonly [string, ...string[]]): Promise<string> =>
    (await run([programPath, ...args, '-f', configFile], {timeoutMs: stopTimeoutMs})).stdout;
  let daemon: Daemon | undefined;
  let connection: Connection | undefined;
  scope.defer(async () => {
    await connection?.[Symbol.asyncDispose]();
    await daemon?.[Symbol.asyncDispose]();
    await cli('cleanup');
    const left = await leftovers(stateDir);
    if (left.length > 0) throw new Error(`left behind: ${left.join(', ')}`);
  });
  const owned = scope.move();
  return {
    stateDir,
    logFile,
    get pid() {
      if (daemon === undefined) throw new Error('the gateway does not run');
      return daemon.pid;
    },
    async start(configuration) {
      await writeFile(configFile, configuration);
      daemon = await startReady(configFile, logFile);
      connection ??= await connectRedis({url: `unix:${embeddedRedisPath(join(stateDir, 'run'))}`, log: createLog('silent')});
    },
    async kill() {
      const pids = await Promise.all([pagerPid(stateDir), redisPid(stateDir)]).catch(() => []); // One of them may just be replaced.
      daemon?.child.kill('SIGKILL');
      await Promise.all([daemon?.exited, ...pids.map(killed)]);
    },
    async reload(configuration) {
      const from = (await stat(logFile)).size;
      await writeFile(configFile, configuration);
      daemon?.child.kill('SIGUSR2');
      await until(async () => (await readFile(logFile)).subarray(from).includes('configuration taken over'), {
        timeoutMs: reloadTimeoutMs,
        intervalMs: 50,
        what: 'the end of a reload',
      });
    },
    async command(name, args) {
      if (connection === undefined) throw new Error('the gateway does not run');
      return callControl(connection, name, args, {timeoutMs: commandTimeoutMs});
    },
    async state(app) {
      return (connection === undefined ? null : await openState(connection).readApp(appName(app)))?.state ?? 'unknown';
    },
    cli,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function startReady(configFile: string, logFile: string): Promise<Daemon> {
  await using log = await open(logFile, 'a');
  const daemon = await startDaemon([programPath, 'run', '-f', configFile, '--ready-fd', String(readyDescriptor)], {
    stdio: ['ignore', log.fd, log.fd, 'pipe'],
    stopTimeoutMs,
  });
  const ready = daemon.child.stdio[readyDescriptor];
  const ended = daemon.exited.then(() => 'ended');
  const first = await Promise.race([ready === null || ready === undefined ? ended : once(ready, 'data').then(() => 'ready'), ended]);
  if (first === 'ready') return daemon;
  throw new Error(`the gateway ended at once: ${(await readFile(logFile, 'utf8')).slice(-2000)}`);
}
