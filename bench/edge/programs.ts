/** The programs that are measured, each as its operator starts it, and the origin behind all of them. One process each, on free ports of 127.0.0.1. */
import {writeFile} from 'node:fs/promises';
import {connect} from 'node:net';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {type Daemon, run, startDaemon} from '../../src/core/command.ts';
import {freePort} from '../../test/helpers/gateway.ts';
import {until} from '../../test/helpers/until.ts';

export const picogateProgram = fileURLToPath(new URL('../../bin/picogate', import.meta.url));
const httpProxyProgram = fileURLToPath(new URL('http-proxy-program.ts', import.meta.url));

export const httpProxyVersion = '1.18.1';
const installTimeoutMs = 120_000;
const startTimeoutMs = 20_000;

/** Both ends of a relayed connection are descriptors, of which a process has 20,000 on many systems. */
export const mostConnections = 9500;

export interface Contender extends AsyncDisposable {
  readonly name: string;
  readonly pid: number;
  /** Of its frontends, by their mode. */
  readonly port: Readonly<Record<'tcp' | 'http', number>>;
}

async function answers(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  return new Promise((resolve) => {
    socket.once('connect', () => resolve(true));
    socket.once('error', () => resolve(false));
  }).then((connected) => {
    socket.destroy();
    return connected === true;
  });
}

/** Waits until the program accepts connections. @throws Error with what it has said when it ends first */
export async function startServer(argv: readonly [string, ...string[]], port: number): Promise<Daemon> {
  const daemon = await startDaemon(argv, {stdio: ['ignore', 'ignore', 'pipe']});
  const ended: {said: string | null} = {said: null};
  void daemon.exited.then(({stderr}) => {
    ended.said = stderr;
  });
  try {
    await until(
      () => {
        if (ended.said !== null) throw new Error(`${argv[0]} has ended: ${ended.said.slice(-1000)}`);
        return answers(port);
      },
      {timeoutMs: startTimeoutMs, what: `${argv[0]} to listen`},
    );
  } catch (error) {
    await daemon[Symbol.asyncDispose]();
    throw error;
  }
  return daemon;
}

export interface Origin extends AsyncDisposable {
  readonly port: number;
}

/** nginx with one worker that answers at once, and never ends a connection. */
export async function startOrigin(directory: string): Promise<Origin> {
  const port = await freePort();
  const file = join(directory, 'origin.conf');
  const text = `daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
pid ${join(directory, 'origin.pid')};
error_log /dev/null;
events { worker_connections 19000; }
http {
  access_log off;
  keepalive_requests 1000000000;
  keepalive_timeout 1h;
  client_header_timeout 1h;
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location / { return 200 "What a small answer of an application looks like.\\n"; }
  }
}
`;
  await writeFile(file, text);
  const daemon = await startServer(['nginx', '-e', '/dev/null', '-c', file], port);
  return {port, [Symbol.asyncDispose]: () => daemon[Symbol.asyncDispose]()};
}

/** The same file for both, so that they do the same. */
export function proxyConfiguration({originPort, tcpPort, httpPort}: {originPort: number; tcpPort: number; httpPort: number}): string {
  return `global
  nbthread 1
  maxconn ${mostConnections}
defaults
  timeout connect 5s
  timeout client 1h
  timeout server 1h
frontend streams
  mode tcp
  bind 127.0.0.1:${tcpPort}
  default_backend streams-origin
backend streams-origin
  mode tcp
  server origin 127.0.0.1:${originPort}
frontend web
  mode http
  bind 127.0.0.1:${httpPort}
  default_backend web-origin
backend web-origin
  mode http
  server origin 127.0.0.1:${originPort}
`;
}

async function startWithFile(name: string, program: string, {directory, originPort}: {directory: string; originPort: number}): Promise<Contender> {
  const port = {tcp: await freePort(), http: await freePort()};
  const file = join(directory, `${name}.cfg`);
  await writeFile(file, proxyConfiguration({originPort, tcpPort: port.tcp, httpPort: port.http}));
  const daemon = await startServer([program, '-db', '-f', file], port.http);
  return {name, port, pid: daemon.pid, [Symbol.asyncDispose]: () => daemon[Symbol.asyncDispose]()};
}

export function startPicogate(where: {directory: string; originPort: number}): Promise<Contender> {
  return startWithFile('Picogate', picogateProgram, where);
}

export function startHaproxy(where: {directory: string; originPort: number}): Promise<Contender> {
  return startWithFile('HAProxy', 'haproxy', where);
}

/** With an agent that keeps connections; npm brings the package into `directory`. It knows no streams: both ports are one. */
export async function startHttpProxy({directory, originPort}: {directory: string; originPort: number}): Promise<Contender> {
  const argv = ['npm', 'install', '--no-audit', '--no-fund', '--no-save', '--loglevel=error', '--prefix', directory, `http-proxy@${httpProxyVersion}`] as const;
  await run(argv, {timeoutMs: installTimeoutMs});
  const port = await freePort();
  const daemon = await startServer(
    [process.execPath, '--disable-warning=ExperimentalWarning', '--no-deprecation', httpProxyProgram, directory, String(port), String(originPort)],
    port,
  );
  return {name: 'http-proxy', port: {tcp: port, http: port}, pid: daemon.pid, [Symbol.asyncDispose]: () => daemon[Symbol.asyncDispose]()};
}
