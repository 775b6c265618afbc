/** HAProxy and our program on one configuration, each with ports, a directory and a receiver of log lines of its own. */
import {createSocket} from 'node:dgram';
import {once} from 'node:events';
import {existsSync, openSync} from 'node:fs';
import {mkdir, readFile, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import {startDaemon} from '../../src/core/command.ts';
import {freePort, programPath} from './gateway.ts';
import {until} from './until.ts';

export interface Twin {
  readonly name: 'haproxy' | 'picogate';
  /** Of what the configuration names `${NAME}`. @throws Error for a name that it was not started with */
  port(name: string): number;
  /** `${DIR}` in the configuration. */
  readonly directory: string;
  /** What it has logged so far, one line each. */
  readonly lines: readonly string[];
}

export interface ProgramPair extends AsyncDisposable {
  readonly haproxy: Twin;
  readonly picogate: Twin;
}

export interface PairOptions {
  readonly configuration: string;
  /** Those `${NAME}` of the configuration that stand for a port to listen on. */
  readonly ports: readonly string[];
  /** Those that are the same for both. */
  readonly values: Readonly<Record<string, string>>;
  readonly directory: string;
}

const commands = {haproxy: ['/usr/sbin/haproxy', '-db', '-f'], picogate: [programPath, '-db', '-f']} as const;

/** `${DIR}` and `${LOG}` (a port, for `log 127.0.0.1:${LOG}`) stand for what each program has of its own. Both listen when it settles. */
export async function startPair(options: PairOptions): Promise<ProgramPair> {
  await using scope = new AsyncDisposableStack();
  const [haproxy, picogate] = await Promise.all([startTwin(scope, 'haproxy', options), startTwin(scope, 'picogate', options)]);
  const owned = scope.move();
  return {haproxy, picogate, [Symbol.asyncDispose]: () => owned.disposeAsync()};
}

async function startTwin(scope: AsyncDisposableStack, name: Twin['name'], options: PairOptions): Promise<Twin> {
  const directory = join(options.directory, name);
  await mkdir(directory);
  const receiver = createSocket('udp4');
  scope.defer(() => void receiver.close());
  const lines: string[] = [];
  receiver.on('message', (message) => void lines.push(message.toString('latin1').trimEnd()));
  receiver.bind(0, '127.0.0.1');
  await once(receiver, 'listening');
  const ports = new Map<string, number>();
  for (const port of options.ports) ports.set(port, await freePort());
  const file = join(directory, 'pair.cfg');
  const values: Readonly<Record<string, string | number>> = {...options.values, ...Object.fromEntries(ports), DIR: directory, LOG: receiver.address().port};
  await writeFile(
    file,
    options.configuration.replaceAll(/\$\{([A-Z_]+)\}/g, (_, key: string) => String(values[key])),
  );
  const output = join(directory, 'output');
  const daemon = await startDaemon([...commands[name], file], {
    stdio: ['ignore', 'ignore', openSync(output, 'a')],
  });
  scope.use(daemon);
  let hasEnded = false;
  void daemon.exited.then(() => {
    hasEnded = true;
  });
  const sockets = [...options.configuration.matchAll(/stats socket \$\{DIR\}\/(\S+)/g)].map(([, socket = '']) => join(directory, socket));
  await until(
    async () => {
      if (hasEnded) throw new Error(`${name} has ended: ${await readFile(output, 'utf8')}`);
      return sockets.every((socket) => existsSync(socket)) && (await Promise.all([...ports.values()].map(isListening))).every(Boolean);
    },
    {what: `${name} to listen`, timeoutMs: 20_000},
  );
  return {
    name,
    directory,
    lines,
    port(wanted) {
      const port = ports.get(wanted);
      if (port === undefined) throw new Error(`no port ${wanted}`);
      return port;
    },
  };
}

/** Known without a connection, which would be logged. */
async function isListening(port: number): Promise<boolean> {
  const address = `:${port.toString(16).toUpperCase().padStart(4, '0')} 00000000:0000 0A`;
  return (await readFile('/proc/net/tcp', 'latin1')).includes(address);
}
