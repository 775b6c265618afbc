/**
 * The embedded Redis: a private redis-server (or valkey-server) on a unix socket that only we can reach, with an append-only file. It
 * dies with the gateway, is started again when it dies alone, and one that an earlier gateway left behind is ended first.
 */
import {access, chmod, constants, mkdir, readFile, realpath, rm} from 'node:fs/promises';
import {delimiter, join} from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import {type Daemon, startDaemon} from '../core/command.ts';
import {CodedError, errorMessage} from '../core/errors.ts';
import type {Log} from '../core/log.ts';
import {lockFile} from './directory-lock.ts';
import {askPid, askRedis, endRedis, readPidfile, worksIn} from './redis-process.ts';

const startTimeoutMs = 30_000;
const stopTimeoutMs = 5000;
const maxRestartDelayMs = 5000;
/** sizeof(sockaddr_un.sun_path) less the final zero. */
const maxSocketPathBytes = 107;

export interface EmbeddedRedis extends AsyncDisposable {
  /** For `connectRedis`: `unix:PATH`. */
  readonly url: string;
  readonly path: string;
  /** Of the server that runs now. */
  pid(): number;
}

export interface EmbeddedRedisOptions {
  readonly stateDir: string;
  readonly runtimeDir: string;
  readonly log: Log;
}

/**
 * Where the embedded Redis of a gateway listens; the CLI connects to it.
 * @throws CodedError ERR_SOCKET_PATH when the runtime directory's name is too long for a unix socket
 */
export function embeddedRedisPath(runtimeDir: string): string {
  const path = join(runtimeDir, 'redis', 'redis.sock');
  const bytes = Buffer.byteLength(path);
  if (bytes > maxSocketPathBytes) {
    throw new CodedError(
      'ERR_SOCKET_PATH',
      `Cannot use "${path}" as a socket: its path has ${bytes} bytes, at most ${maxSocketPathBytes} are possible; set a shorter runtime-dir`,
      {source: 'host'},
    );
  }
  return path;
}

interface Paths {
  readonly socket: string;
  readonly directory: string;
  readonly pidfile: string;
  /** Warnings of the present run only: emptied at each start, so that it stays small. */
  readonly logfile: string;
}

async function findServer(): Promise<string> {
  const directories = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/local/bin', '/usr/bin', '/usr/sbin'].filter((directory) =>
    directory.startsWith('/'),
  );
  for (const name of ['redis-server', 'valkey-server']) {
    for (const directory of directories) {
      const path = join(directory, name);
      try {
        await access(path, constants.X_OK);
        return path;
      } catch {
        // Not here; the error below comes when it is nowhere.
      }
    }
  }
  throw new CodedError('ERR_REDIS_MISSING', 'Cannot start the embedded Redis: neither redis-server nor valkey-server is installed', {source: 'host'});
}

function serverArguments(paths: Paths): string[] {
  const settings = {
    port: '0',
    unixsocket: paths.socket,
    unixsocketperm: '700',
    dir: paths.directory,
    pidfile: paths.pidfile,
    daemonize: 'no',
    appendonly: 'yes',
    appendfsync: 'everysec',
    'auto-aof-rewrite-min-size': '16mb',
    save: '',
    databases: '1',
    maxclients: '512',
    maxmemory: '256mb',
    'maxmemory-policy': 'noeviction',
    loglevel: 'warning',
    logfile: paths.logfile,
  } as const;
  return Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]);
}

/** The end of what a server that has ended said, on standard error (its settings) or in its log (the rest). */
async function lastWords(stderr: string, paths: Paths): Promise<string> {
  const logged = await readFile(paths.logfile, 'utf8').catch(() => '');
  return `${stderr}${logged}`.trim().slice(-1000);
}

async function waitUntilReady(daemon: Daemon, paths: Paths): Promise<void> {
  const {socket, directory} = paths;
  let ended: Awaited<Daemon['exited']> | null = null;
  void daemon.exited.then((how) => {
    ended = how;
  });
  const died = (): Awaited<Daemon['exited']> | null => ended;
  for (const deadline = performance.now() + startTimeoutMs; performance.now() < deadline; await sleep(5)) {
    const how = died();
    if (how !== null) {
      const status = how.exitCode === null ? `killed by ${how.signal ?? 'a signal'}` : `exit status ${how.exitCode}`;
      throw new CodedError('ERR_REDIS_START', `Cannot start the embedded Redis in "${directory}": ${status}: ${await lastWords(how.stderr, paths)}`, {
        source: 'host',
      });
    }
    if ((await askRedis(socket, 'PING', 1000)) === '+PONG') return;
  }
  throw new CodedError('ERR_REDIS_START', `Cannot start the embedded Redis in "${directory}": no answer within ${startTimeoutMs} ms`, {source: 'host'});
}

/** Ends the server that a killed gateway left, if it did. The caller holds the directory's lock, so no live gateway owns it. */
async function endLeftover(paths: Paths, log: Log): Promise<void> {
  for (const pid of [await readPidfile(paths.pidfile), await askPid(paths.socket)]) {
    if (pid === null || !(await worksIn(pid, paths.directory))) continue;
    log.warn({pid}, 'ending the redis-server of an earlier run');
    await endRedis(pid, paths.directory);
  }
  await rm(paths.socket, {force: true});
  await rm(paths.pidfile, {force: true});
}

async function privateDirectory(path: string): Promise<string> {
  await mkdir(path, {recursive: true, mode: 0o700});
  await chmod(path, 0o700);
  return realpath(path);
}

/**
 * Starts the embedded Redis and resolves when it answers. Disposing it shuts it down with its file written to the end.
 * @throws CodedError ERR_SOCKET_PATH, ERR_IN_USE, ERR_REDIS_MISSING, ERR_REDIS_START
 */
export async function startEmbeddedRedis({stateDir, runtimeDir, log}: EmbeddedRedisOptions): Promise<EmbeddedRedis> {
  const socket = embeddedRedisPath(runtimeDir);
  await privateDirectory(join(runtimeDir, 'redis'));
  const directory = await privateDirectory(join(stateDir, 'redis'));
  const paths: Paths = {socket, directory, pidfile: join(directory, 'redis.pid'), logfile: join(directory, 'redis.log')};

  await using scope = new AsyncDisposableStack();
  scope.use(lockFile(join(directory, 'lock'), `state directory "${stateDir}"`));
  await endLeftover(paths, log);
  const server = await findServer();

  const launch = async (): Promise<Daemon> => {
    await rm(paths.logfile, {force: true});
    const daemon = await startDaemon([server, ...serverArguments(paths)], {stdio: ['ignore', 'ignore', 'pipe'], stopTimeoutMs});
    try {
      await waitUntilReady(daemon, paths);
      return daemon;
    } catch (error) {
      await daemon[Symbol.asyncDispose]();
      throw error;
    }
  };
  const guarded = await guard(launch, paths, log);
  scope.use(guarded);
  const owned = scope.move();
  return {url: `unix:${socket}`, path: socket, pid: () => guarded.pid(), [Symbol.asyncDispose]: () => owned.disposeAsync()};
}

/** Keeps one server running: starts another, with a growing delay, when it ends before it was told to. */
async function guard(launch: () => Promise<Daemon>, paths: Paths, log: Log): Promise<AsyncDisposable & {pid(): number}> {
  let daemon = await launch();
  const stopping = new AbortController();
  const stopped = (): boolean => stopping.signal.aborted;

  const watch = async (): Promise<void> => {
    while (!stopped()) {
      const how = await daemon.exited;
      if (stopped()) return;
      log.error({exitCode: how.exitCode, signal: how.signal, said: await lastWords(how.stderr, paths)}, 'the embedded Redis has ended, starting it again');
      for (let delayMs = 50; !stopped(); delayMs = Math.min(delayMs * 2, maxRestartDelayMs)) {
        try {
          daemon = await launch();
          break;
        } catch (error) {
          log.error({reason: errorMessage(error)}, 'the embedded Redis does not start, trying again');
          await sleep(delayMs * (0.5 + Math.random() / 2), undefined, {signal: stopping.signal}).catch(() => {
            // Only cut short by the stop that the loop looks for.
          });
        }
      }
    }
  };
  const watching = watch();

  return {
    pid: () => daemon.pid,
    async [Symbol.asyncDispose]() {
      if (!stopped()) {
        stopping.abort();
        const alive = daemon.child.exitCode === null && daemon.child.signalCode === null;
        // No answer comes to a SHUTDOWN that works; SIGTERM follows for one that does not.
        if (alive) await Promise.race([askRedis(paths.socket, 'SHUTDOWN NOSAVE', stopTimeoutMs), daemon.exited]);
        if (alive) await Promise.race([daemon.exited, sleep(1000, undefined, {ref: false})]);
      }
      await daemon[Symbol.asyncDispose]();
      await watching;
      // The watcher may have been in the middle of starting one.
      await daemon[Symbol.asyncDispose]();
    },
  };
}
