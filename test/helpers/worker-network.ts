/** Several hosts on one: a bridge with a Redis and an S3 server, and a network namespace for each worker. All of it is removed with it. */
import {randomBytes, randomInt} from 'node:crypto';
import {createServer} from 'node:net';
import {run, startDaemon} from '../../src/core/command.ts';
import {type TestCommand, type TestEnd, type TestGateway, testGateway} from './gateway.ts';
import {startS3Server} from './s3-server.ts';
import {temporaryDirectory} from './temporary-directory.ts';
import {until} from './until.ts';

const timeoutMs = 10_000;
/** Short, so that a test that waits for its end is not long. */
export const leaseMs = 2000;

export type CutOffFrom = 'all' | 'redis' | 'store';

export interface TestWorker {
  readonly name: string;
  /** Where clients reach its frontends. */
  readonly address: string;
  readonly gateway: TestGateway;
  /** Drops every packet between this worker and everybody else, or Redis, or the store; or no longer (null). */
  cutOff(from: CutOffFrom | null): Promise<void>;
}

export interface WorkerNetwork {
  readonly redisUrl: string;
  /** A worker that is not started yet. @param options what follows `address` in its line `worker`; an edge has none */
  worker(name: string, sections: string, options?: {readonly line?: string; readonly globals?: string; readonly command?: TestCommand}): Promise<TestWorker>;
}

/** @param port of the one that is not reached any more; undefined: nobody is */
function cutOffText(port: number | undefined): string {
  const [from, to] = port === undefined ? ['', ''] : [`tcp sport ${port}`, `tcp dport ${port}`];
  return `table ip picogate_cut {
  chain in { type filter hook input priority -300; iifname "eth0" ${from} drop; }
  chain forward { type filter hook forward priority -300; iifname "eth0" ${from} drop; oifname "eth0" ${to} drop; }
  chain out { type filter hook output priority -300; oifname "eth0" ${to} drop; }
}
`;
}

const uncutText = 'add table ip picogate_cut\ndelete table ip picogate_cut\n';

async function freePort(host: string): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

/** Everything is gone at the teardown of the test, after its gateways: they must be made by `worker()`. */
export async function workerNetwork(t: TestEnd, {leaseTimeMs = leaseMs}: {readonly leaseTimeMs?: number} = {}): Promise<WorkerNetwork> {
  const scope = new AsyncDisposableStack();
  t.teardown(() => scope.disposeAsync());
  const id = randomBytes(2).toString('hex');
  const net = `10.251.${randomInt(256)}`;
  const hub = `${net}.1`;
  const bridge = `pgtb${id}`;
  const ip = (commands: string, ...flags: string[]): Promise<unknown> => run(['ip', ...flags, '-batch', '-'], {timeoutMs, input: commands});
  const remove = async (commands: string): Promise<void> => {
    await ip(commands, '-force').catch(() => undefined); // Gone with something else.
  };
  scope.defer(() => remove(`link del ${bridge}\n`));
  await ip(`link add ${bridge} type bridge\naddr add ${hub}/24 dev ${bridge}\nlink set ${bridge} up\n`);
  const redisUrl = await startRedis(scope, hub);
  const redisPort = Number(new URL(redisUrl).port);
  const s3 = scope.use(await startS3Server({host: hub}));
  Object.assign(process.env, s3.env);
  await s3.createBucket('apps');
  const range = `10.252.${randomInt(256)}.0/24`;
  let next = 11;
  return {
    redisUrl,
    async worker(name, sections, {line = '', globals = '', command = 'run'} = {}) {
      const address = `${net}.${next++}`;
      const namespace = `picogate-t${id}-${name}`;
      const link = `pgt${id}${name}`;
      t.teardown(() => remove(`link del ${link}\nnetns del ${namespace}\n`));
      await ip(`netns add ${namespace}\nlink add ${link} type veth peer name eth0 netns ${namespace}\nlink set ${link} master ${bridge} up\n`);
      await ip(`link set lo up\naddr add ${address}/24 dev eth0\nlink set eth0 up\n`, '-n', namespace);
      const shared = `    redis ${redisUrl}
    store s3://apps/${id} endpoint ${s3.endpoint} path-style
    private-range ${range}
    lease-time ${leaseTimeMs}ms
${command === 'edge' ? '' : `    worker ${name} address ${address} ${line}`}
${globals}`;
      const gateway = await testGateway(t, sections, {globals: shared, under: ['nsenter', `--net=/run/netns/${namespace}`], command});
      const nft = async (input: string): Promise<unknown> => run(['ip', 'netns', 'exec', namespace, 'nft', '-f', '-'], {timeoutMs, input});
      return {
        name,
        address,
        gateway,
        async cutOff(from) {
          const ports = {all: undefined, redis: redisPort, store: s3.port};
          await nft(from === null ? uncutText : `${uncutText}${cutOffText(ports[from])}`);
        },
      };
    },
  };
}

async function startRedis(scope: AsyncDisposableStack, host: string): Promise<string> {
  const directory = scope.use(await temporaryDirectory());
  const port = await freePort(host);
  const argv = ['redis-server', '--bind', host, '--port', String(port), '--protected-mode', 'no', '--save', '', '--dir', directory.path] as const;
  scope.use(await startDaemon(argv, {stdio: ['ignore', 'ignore', 'ignore']}));
  const answers = async (): Promise<boolean> => {
    const {stdout} = await run(['redis-cli', '-h', host, '-p', String(port), 'ping'], {timeoutMs}).catch(() => ({stdout: ''}));
    return stdout.includes('PONG');
  };
  await until(answers, {timeoutMs, what: 'Redis'});
  return `redis://${host}:${port}`;
}
