/** A client in a namespace of its own, a gateway's network, and apps behind it; everything is removed with it. */
import {randomBytes, randomInt} from 'node:crypto';
import {createInterface} from 'node:readline';
import {fileURLToPath} from 'node:url';
import {pino} from 'pino';
import {run, startDaemon} from '../../src/core/command.ts';
import {type AppName, appName, type GatewayIdentity, gatewayIdentity} from '../../src/core/ids.ts';
import type {Trigger} from '../../src/core/trigger.ts';
import type {AppNetwork} from '../../src/nat/app-network.ts';
import type {Range} from '../../src/nat/ipv4.ts';
import {type Nat, type NatOptions, openNat} from '../../src/nat/nat.ts';

const timeoutMs = 10_000;

export interface Agent extends AsyncDisposable {
  readonly pid: number;
  call(what: string, details?: Readonly<Record<string, unknown>>): Promise<unknown>;
}

/** @param namespace null: this host */
export async function startAgent(namespace: string | null): Promise<Agent> {
  const program = [process.execPath, fileURLToPath(new URL('./agent.ts', import.meta.url))] as const;
  const argv: readonly [string, ...string[]] = namespace === null ? program : ['ip', 'netns', 'exec', namespace, ...program];
  const daemon = await startDaemon(argv, {stdio: ['pipe', 'pipe', 'ignore'], stopTimeoutMs: 1000});
  const waiting = new Map<number, (result: unknown) => void>();
  const {stdin, stdout} = daemon.child;
  if (stdin === null || stdout === null) throw new Error('An agent has no pipes');
  createInterface({input: stdout}).on('line', (line) => {
    const answer = JSON.parse(line) as {id: number; result: unknown};
    waiting.get(answer.id)?.(answer.result);
    waiting.delete(answer.id);
  });
  stdin.on('error', () => {
    // The agent has ended; whoever waits for an answer runs into the test's own time limit.
  });
  let id = 0;
  return {
    pid: daemon.pid,
    call: (what, details = {}) =>
      new Promise((resolve) => {
        waiting.set(++id, resolve);
        stdin.write(`${JSON.stringify({id, what, ...details})}\n`);
      }),
    [Symbol.asyncDispose]: () => daemon[Symbol.asyncDispose](),
  };
}

export interface Client extends Agent {
  readonly address: string;
  /** The address that this host has for the client. */
  readonly hostAddress: string;
}

/** A namespace behind a link, as if it were another machine. */
export async function startClient(): Promise<Client> {
  await using scope = new AsyncDisposableStack();
  const id = randomBytes(3).toString('hex');
  const namespace = `picogate-client-${id}`;
  const net = `198.18.${randomInt(256)}.${randomInt(64) * 4}`;
  const part = net.split('.').slice(0, 3).join('.');
  const last = Number(net.split('.')[3]);
  const [hostAddress, address] = [`${part}.${last + 1}`, `${part}.${last + 2}`];
  const batch = (commands: string, ...flags: string[]): Promise<unknown> => run(['ip', ...flags, '-batch', '-'], {timeoutMs, input: commands});
  scope.defer(async () => {
    await batch(`link del pgc${id}\nnetns del ${namespace}\n`, '-force').catch(() => undefined);
  });
  await batch(
    `netns add ${namespace}\nlink add pgc${id} type veth peer name eth0 netns ${namespace}\naddr add ${hostAddress}/30 dev pgc${id}\nlink set pgc${id} up\n`,
  );
  await batch(`link set lo up\naddr add ${address}/30 dev eth0\nlink set eth0 up\nroute add default via ${hostAddress}\n`, '-n', namespace);
  const agent = scope.use(await startAgent(namespace));
  const owned = scope.move();
  return {...agent, address, hostAddress, [Symbol.asyncDispose]: () => owned.disposeAsync()};
}

export interface Wanted {
  readonly app: AppName;
  readonly trigger: Trigger;
  readonly atMs: number;
}

export interface Gateway extends AsyncDisposable {
  readonly identity: GatewayIdentity;
  readonly range: Range;
  readonly nat: Nat;
  readonly wanted: Wanted[];
  /** Replaced by a test that acts on the first packet. */
  onWanted: (app: AppName, trigger: Trigger) => void;
}

export async function startGateway(limits: NatOptions['limits'] = {}, like: Partial<Pick<Gateway, 'identity' | 'range'>> = {}): Promise<Gateway> {
  const identity = like.identity ?? gatewayIdentity(randomBytes(8).toString('hex'));
  const range = like.range ?? {address: `10.${100 + randomInt(150)}.${randomInt(256)}.0`, prefixLength: 24};
  const wanted: Wanted[] = [];
  let listener = (_app: AppName, _trigger: Trigger): void => undefined;
  const onWanted = (app: AppName, trigger: Trigger): void => {
    wanted.push({app, trigger, atMs: performance.now()});
    listener(app, trigger);
  };
  const nat = await openNat({identity, range, log: pino({level: 'silent'}), limits, onWanted});
  return {
    identity,
    range,
    nat,
    wanted,
    set onWanted(next: (app: AppName, trigger: Trigger) => void) {
      listener = next;
    },
    [Symbol.asyncDispose]: () => nat[Symbol.asyncDispose](),
  };
}

export interface App extends AsyncDisposable {
  readonly network: AppNetwork;
  readonly agent: Agent;
}

/** An app whose program, an agent, runs all the time; sleep is only the route. It exposes TCP and UDP port 80. */
export async function startApp(gateway: Gateway, index = 0): Promise<App> {
  const expose = [{protocol: 'tcp', port: 80} as const, {protocol: 'udp', port: 80} as const];
  const network = gateway.nat.addApp({name: appName(`app${index}`), index, expose});
  await network.prepare();
  const agent = await startAgent(`picogate-${gateway.identity}-${index}`);
  await agent.call('listen', {port: 80});
  await agent.call('listen udp', {port: 80});
  return {
    network,
    agent,
    async [Symbol.asyncDispose]() {
      await agent[Symbol.asyncDispose]();
      await network[Symbol.asyncDispose]();
    },
  };
}

export interface Scene {
  readonly client: Client;
  readonly gateway: Gateway;
  readonly app: App;
  /** The frontend's port on this host, TCP and UDP, bound to `host`. */
  readonly port: number;
}

/** Client, gateway, one sleeping app and its frontends. */
export async function startScene(scope: AsyncDisposableStack, options: {host?: string; limits?: NatOptions['limits']} = {}): Promise<Scene> {
  const client = scope.use(await startClient());
  const gateway = scope.use(await startGateway(options.limits));
  const app = scope.use(await startApp(gateway));
  const port = 20_000 + randomInt(10_000);
  const frontend = {host: options.host ?? '', port, targetHost: app.network.address, targetPort: 80};
  await gateway.nat.setFrontends([
    {...frontend, protocol: 'tcp'},
    {...frontend, protocol: 'udp'},
  ]);
  return {client, gateway, app, port};
}
