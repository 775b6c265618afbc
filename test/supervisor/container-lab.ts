import {randomBytes, randomInt} from 'node:crypto';
import {mkdir} from 'node:fs/promises';
import {join} from 'node:path';
import type {AppConfig} from '../../src/config/value.ts';
import {run} from '../../src/core/command.ts';
import {appName, type GatewayIdentity, gatewayIdentity} from '../../src/core/ids.ts';
import {createLog, type Log} from '../../src/core/log.ts';
import {criuCommand} from '../../src/core/tools.ts';
import type {Container} from '../../src/supervisor/container.ts';
import type {Containers} from '../../src/supervisor/containers.ts';
import {openContainers, removeContainerLeftovers} from '../../src/supervisor/containers.ts';
import {type CheckpointDriver, openCriu} from '../../src/supervisor/criu.ts';
import {rootfsWith} from '../helpers/rootfs.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';

/** A namespace with an address that is reached from outside, containers, and CRIU. */
/** Apps of the lab have directories as roots. */
export const noImages = (): Promise<never> => Promise.reject(new Error('there are no images here'));

export interface ContainerLab extends AsyncDisposable {
  readonly directory: string;
  readonly identity: GatewayIdentity;
  readonly runtimeDir: string;
  readonly address: string;
  readonly netnsPath: string;
  readonly containers: Containers;
  readonly criu: CheckpointDriver;
  readonly log: Log;
  /** A container of an app with these settings and the root file system `python3`. */
  container(settings?: Partial<AppConfig>): Promise<Container>;
  /** Loses packets to the app until `release`, as the gateway keeps them from a sleeper: its kernel would answer them with a reset. */
  hold(): Promise<void>;
  release(): Promise<void>;
  /** A new empty directory. */
  newDirectory(name: string): Promise<string>;
}

export async function containerLab(): Promise<ContainerLab> {
  await using scope = new AsyncDisposableStack();
  const rootfs = await rootfsWith('python3');
  const {path: directory} = scope.use(await temporaryDirectory());
  const identity = gatewayIdentity(directory);
  const stateDir = join(directory, 'state');
  const runtimeDir = join(directory, 'run');
  await mkdir(runtimeDir, {recursive: true});
  const network = scope.use(await testNetwork());
  const log = createLog(process.env['PICOGATE_LOG'] ?? 'silent');
  const containers = scope.use(await openContainers({identity, stateDir, runtimeDir, mountImage: noImages, log}));
  scope.defer(() => removeContainerLeftovers({identity, runtimeDir}));
  const criu = scope.use(openCriu({argv: criuCommand(), runtimeDir: containers.directory, log}));
  const owned = scope.move();
  return {
    ...network,
    directory,
    identity,
    runtimeDir,
    containers,
    criu,
    log,
    async container(settings) {
      const container = owned.use(containers.add(appConfig({root: {kind: 'directory', path: rootfs}, ...settings}), network.netnsPath));
      await container.prepare();
      return container;
    },
    async newDirectory(name) {
      await mkdir(join(directory, name));
      return join(directory, name);
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

export function appConfig(settings: Partial<AppConfig>): AppConfig {
  return {
    name: appName('app'),
    position: {file: 'test', line: 1, column: 1},
    root: {kind: 'directory', path: '/'},
    exec: ['/usr/bin/python3', '-c', ''],
    expose: [],
    start: 'lazy',
    onStop: 'hibernate',
    hibernateAfterMs: null,
    memoryBytes: null,
    cpus: null,
    pidsMax: null,
    env: {},
    user: '0:0',
    workdir: '/',
    volumes: [],
    paging: 'lazy',
    prefetch: 'off',
    backgroundFetch: true,
    readAhead: true,
    onRestoreFailure: ['retry'],
    restart: 'never',
    ready: {kind: 'exposed'},
    readyTimeoutMs: 10_000,
    wakeTimeoutMs: 10_000,
    wakeRate: null,
    timers: null,
    wakeAt: [],
    minAwakeMs: 0,
    awakeWhile: {connections: false, cpuAbovePercent: null},
    pin: false,
    checkpointEveryMs: null,
    onWorker: [],
    logBytes: 1024 * 1024,
    ...settings,
  };
}

async function testNetwork(): Promise<AsyncDisposable & Pick<ContainerLab, 'address' | 'netnsPath' | 'hold' | 'release'>> {
  const id = randomBytes(3).toString('hex');
  const namespace = `picogate-t${id}`;
  const prefix = `10.${randomInt(180, 250)}.${randomInt(0, 255)}`;
  const ip = async (...args: string[]): Promise<void> => {
    await run(['ip', ...args], {timeoutMs: 5000});
  };
  await using scope = new AsyncDisposableStack();
  await ip('netns', 'add', namespace);
  scope.defer(() => ip('netns', 'delete', namespace));
  await ip('link', 'add', `pgt${id}`, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', namespace);
  await ip('address', 'add', `${prefix}.1/30`, 'dev', `pgt${id}`);
  await ip('link', 'set', `pgt${id}`, 'up');
  await ip('-n', namespace, 'address', 'add', `${prefix}.2/30`, 'dev', 'eth0');
  await ip('-n', namespace, 'link', 'set', 'lo', 'up');
  await ip('-n', namespace, 'link', 'set', 'eth0', 'up');
  const owned = scope.move();
  const route = ['blackhole', `${prefix}.2/32`];
  return {
    address: `${prefix}.2`,
    netnsPath: `/run/netns/${namespace}`,
    hold: () => ip('route', 'add', ...route),
    release: () => ip('route', 'delete', ...route),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/**
 * Answers each line: `count` with a number that grows, `write TEXT` appends to /data, `read` tells it, `say TEXT` prints,
 * `exit N` ends it, others with themselves.
 */
export const lineServer = `
import os, socketserver, sys
count = 0
class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        global count
        for line in self.rfile:
            word, _, rest = line.decode().strip().partition(' ')
            if word == 'count':
                count += 1
                answer = str(count)
            elif word == 'write':
                with open('/data', 'a') as file: file.write(rest)
                answer = 'ok'
            elif word == 'read':
                with open('/data') as file: answer = file.read()
            elif word == 'say':
                print(rest, flush=True)
                answer = 'ok'
            elif word == 'exit':
                os._exit(int(rest))
            else:
                answer = word
            self.wfile.write((answer + '\\n').encode())
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
server = Server(('0.0.0.0', 7000), Handler)
print('listening', flush=True)
server.serve_forever()
`;
