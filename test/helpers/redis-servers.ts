/** Real redis-servers as an operator would run them: alone, with a replica and Sentinels, as a cluster. All on 127.0.0.1, gone when disposed. */
import {mkdir, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import {type Daemon, run, startDaemon} from '../../src/core/command.ts';
import {freePort} from './gateway.ts';
import {killed} from './gateway-processes.ts';
import {temporaryDirectory} from './temporary-directory.ts';
import {until} from './until.ts';

/** Short, for tests; what an operator has is 5 to 30 s. */
const downAfterMs = 500;

export interface RedisServer extends AsyncDisposable {
  readonly port: number;
  /** Runs a command with redis-cli. */
  ask(...command: readonly string[]): Promise<string>;
  /** kill -9; `start()` brings it back, with what it had on disk. */
  kill(): Promise<void>;
  start(): Promise<void>;
  /** SIGSTOP: connections stay open and nobody answers. */
  pause(): void;
  resume(): void;
}

export interface RedisServers extends AsyncDisposable {
  readonly url: string;
  readonly servers: readonly RedisServer[];
}

export interface SentinelRedis extends RedisServers {
  /** Whom the Sentinels call the master now. */
  master(): Promise<RedisServer>;
  /** The one that is not. */
  replica(): Promise<RedisServer>;
  /** Orders a failover and waits for its end. */
  failover(): Promise<void>;
}

async function startServer(parent: string, name: string, options: readonly string[], configuration?: string): Promise<RedisServer> {
  const port = await freePort();
  const directory = join(parent, name);
  await mkdir(directory);
  const file = join(directory, 'server.conf');
  await writeFile(file, `port ${port}\nbind 127.0.0.1\ndir ${directory}\n${configuration ?? ''}`);
  let daemon: Daemon | undefined;
  const server: RedisServer = {
    port,
    ask: async (...command) => (await run(['redis-cli', '-p', String(port), ...command], {timeoutMs: 5000})).stdout.trim(),
    async kill() {
      if (daemon === undefined) return;
      await killed(daemon.pid);
      await daemon[Symbol.asyncDispose]();
      daemon = undefined;
    },
    async start() {
      daemon = await startDaemon(['redis-server', file, ...options], {stdio: 'ignore'});
      await until(async () => (await server.ask('PING').catch(() => '')) === 'PONG', {what: `redis-server ${name}`});
    },
    pause() {
      if (daemon !== undefined) process.kill(daemon.pid, 'SIGSTOP');
    },
    resume() {
      if (daemon !== undefined) process.kill(daemon.pid, 'SIGCONT');
    },
    async [Symbol.asyncDispose]() {
      await server.kill();
    },
  };
  await server.start();
  return server;
}

const durable = ['--appendonly', 'yes', '--save', '', '--repl-diskless-sync-delay', '0'] as const;

/** One server, which keeps what it has over a restart. */
export async function lonelyRedis(...options: readonly string[]): Promise<RedisServers> {
  await using scope = new AsyncDisposableStack();
  const directory = scope.use(await temporaryDirectory());
  const server = scope.use(await startServer(directory.path, 'alone', [...durable, ...options]));
  const owned = scope.move();
  return {url: `redis://127.0.0.1:${server.port}`, servers: [server], [Symbol.asyncDispose]: () => owned.disposeAsync()};
}

/** A master called `main`, a replica, and Sentinels. */
export async function sentinelRedis({sentinels: count = 1}: {sentinels?: number} = {}): Promise<SentinelRedis> {
  await using scope = new AsyncDisposableStack();
  const directory = scope.use(await temporaryDirectory());
  const first = scope.use(await startServer(directory.path, 'first', durable));
  const second = scope.use(await startServer(directory.path, 'second', [...durable, '--replicaof', '127.0.0.1', String(first.port)]));
  const servers = [first, second];
  await until(async () => (await second.ask('INFO', 'replication')).includes('master_link_status:up'), {what: 'the replica'});
  const configuration = [
    `sentinel monitor main 127.0.0.1 ${first.port} ${Math.floor(count / 2) + 1}`,
    `sentinel down-after-milliseconds main ${downAfterMs}`,
    'sentinel failover-timeout main 2000\n',
  ].join('\n');
  const sentinels: RedisServer[] = [];
  for (let at = 0; at < count; at += 1) sentinels.push(scope.use(await startServer(directory.path, `sentinel-${at}`, ['--sentinel'], configuration)));
  const [sentinel] = sentinels;
  if (sentinel === undefined) throw new Error('no sentinel');
  const facts = (): Promise<string> => sentinel.ask('INFO', 'sentinel');
  await until(async () => (await facts()).includes(`slaves=1,sentinels=${count}`), {what: 'the sentinels to know each other'});

  const master = async (): Promise<RedisServer> => {
    const [, port] = (await sentinel.ask('SENTINEL', 'get-master-addr-by-name', 'main')).split('\n');
    const found = servers.find((server) => String(server.port) === port);
    if (found === undefined) throw new Error(`no server at port ${port}`);
    return found;
  };
  const owned = scope.move();
  return {
    url: `sentinel:${sentinels.map(({port}) => `127.0.0.1:${port}`).join(',')}/main`,
    servers,
    master,
    async replica() {
      const current = await master();
      return current === first ? second : first;
    },
    async failover() {
      const before = await master();
      await until(async () => (await sentinel.ask('SENTINEL', 'FAILOVER', 'main')) === 'OK', {what: 'a failover to begin'});
      await until(async () => (await master()) !== before, {what: 'a failover'});
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Three masters, and replicas for the first ones. `servers` are the masters, then the replicas. */
export async function clusterRedis({replicas = 0}: {replicas?: number} = {}): Promise<RedisServers> {
  await using scope = new AsyncDisposableStack();
  const directory = scope.use(await temporaryDirectory());
  const options = [...durable, '--cluster-enabled', 'yes', '--cluster-node-timeout', String(downAfterMs * 2), '--cluster-replica-validity-factor', '0'];
  const servers = await Promise.all(
    Array.from({length: 3 + replicas}, async (_, at) =>
      scope.use(await startServer(directory.path, `node-${at}`, [...options, '--cluster-announce-ip', '127.0.0.1'])),
    ),
  );
  const masters = servers.slice(0, 3);
  const [first] = masters;
  if (first === undefined) throw new Error('no server');
  const bounds = [0, 5461, 10_923, 16_384];
  for (const [at, master] of masters.entries()) await master.ask('CLUSTER', 'ADDSLOTSRANGE', String(bounds[at]), String((bounds[at + 1] ?? 0) - 1));
  for (const other of servers.slice(1)) await first.ask('CLUSTER', 'MEET', '127.0.0.1', String(other.port));
  const all = async (text: string): Promise<boolean> =>
    (await Promise.all(servers.map((server) => server.ask('CLUSTER', 'INFO')))).every((info) => info.includes(text));
  await until(() => all(`cluster_known_nodes:${servers.length}`), {what: 'the nodes to know each other'});
  for (const [at, replica] of servers.slice(3).entries()) {
    const id = (await masters[at]?.ask('CLUSTER', 'MYID')) ?? '';
    await until(async () => (await replica.ask('CLUSTER', 'REPLICATE', id)) === 'OK', {what: 'a replica'});
    await until(async () => (await replica.ask('INFO', 'replication')).includes('master_link_status:up'), {what: 'the link of a replica'});
  }
  await until(() => all('cluster_state:ok'), {what: 'the cluster'});
  const owned = scope.move();
  return {
    url: `cluster:${masters.map(({port}) => `127.0.0.1:${port}`).join(',')}`,
    servers,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
