/** The programs that are measured, each as its operator starts it, and the origin behind all of them. One process each, on free ports of 127.0.0.1. */
import {mkdir, open, writeFile} from 'node:fs/promises';
import {connect} from 'node:net';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {type Daemon, run, startDaemon} from '../../src/core/command.ts';
import {freePort} from '../../test/helpers/gateway.ts';
import {until} from '../../test/helpers/until.ts';
import {coreCount, onAllCores, onMeasuredCore} from './cores.ts';
import type {Address} from './load.ts';

export const picogateProgram = fileURLToPath(new URL('../../bin/picogate', import.meta.url));

const startTimeoutMs = 20_000;
const certificateTimeoutMs = 10_000;

/** Both ends of a relayed connection are descriptors, of which a process has 20,000 on many systems. */
export const mostConnections = 9500;

/** What the origin has beside its short answer. */
export const files = {'1 MiB': {path: '/files/1m', bytes: 2 ** 20}, '1 GiB': {path: '/files/1g', bytes: 2 ** 30}} as const;

/** What can be asked of a program; `websocket` has the echo server behind it, all others the origin. */
export type Service = 'nat' | 'tcp' | 'http' | 'tls' | 'websocket';

export interface Contender extends AsyncDisposable {
  readonly name: string;
  /** Null: what it takes is not that of processes of its own. */
  readonly pid: number | null;
  /** Where each service is that it has. */
  readonly at: Partial<Readonly<Record<Service, Address>>>;
}

/** What a contender is started with. */
export interface Where {
  readonly directory: string;
  /** `127.0.0.1:8080` */
  readonly origin: string;
  /** The server that echoes what it gets on a WebSocket; null: none is needed. */
  readonly echo: string | null;
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
  /** `127.0.0.1:8080` */
  readonly address: string;
  readonly pid: number;
}

/** nginx with one worker that answers at once, and never ends a connection. */
export async function startOrigin(directory: string): Promise<Origin> {
  const port = await freePort();
  const file = join(directory, 'origin.conf');
  await writeHoles(directory);
  const address = `127.0.0.1:${port}`;
  await writeFile(file, originConfiguration({listen: address, temporary: directory, root: directory}));
  const daemon = await startServer(['nginx', '-e', '/dev/null', '-c', file], port);
  return {port, address, pid: daemon.pid, [Symbol.asyncDispose]: () => daemon[Symbol.asyncDispose]()};
}

interface OriginOptions {
  readonly listen: string;
  /** Directories in which it may write, and below which `files` are. */
  readonly temporary: string;
  readonly root: string;
}

export function originConfiguration({listen, temporary, root}: OriginOptions): string {
  const temporaryPaths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `  ${name}_temp_path ${temporary}/${name};\n`);
  return `daemon off;
user root;
worker_processes 1;
worker_rlimit_nofile 20000;
pid ${temporary}/origin.pid;
error_log /dev/null;
events { worker_connections 19000; }
http {
${temporaryPaths.join('')}  access_log off;
  sendfile on;
  keepalive_requests 1000000000;
  keepalive_timeout 1h;
  client_header_timeout 1h;
  server {
    listen ${listen} backlog=4096;
    location / { return 200 "What a small answer of an application looks like.\\n"; }
    location /files/ { root ${root}; }
  }
}
`;
}

/** Files without content: they are read from memory, and take no disk. */
export async function writeHoles(directory: string): Promise<void> {
  await mkdir(join(directory, 'files'), {recursive: true});
  for (const {path, bytes} of Object.values(files)) {
    await using file = await open(join(directory, path), 'w');
    await file.truncate(bytes);
  }
}

/** Certificate and key in one file, as HAProxy has it. */
export async function certificateFile(directory: string): Promise<string> {
  const file = join(directory, 'certificate.pem');
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', file] as const;
  const {stdout} = await run(['openssl', 'req', '-x509', '-days', '2', '-subj', '/CN=bench', ...key], {timeoutMs: certificateTimeoutMs});
  await using handle = await open(file, 'a');
  await handle.write(stdout);
  return file;
}

interface ProxyPorts {
  readonly tcp: number;
  readonly http: number;
  readonly tls: number;
  readonly websocket: number;
}

interface ProxyOptions extends Omit<Where, 'directory'> {
  readonly ports: ProxyPorts;
  /** Null: without TLS. */
  readonly certificate: string | null;
  /** Without effect in Picogate, which has more processes instead. Default: 1. */
  readonly threads?: number;
}

/** The same file for both, so that they do the same. */
export function proxyConfiguration({ports, origin, echo, certificate, threads = 1}: ProxyOptions): string {
  return `global
  nbthread ${threads}
  maxconn ${mostConnections}
defaults
  mode http
  timeout connect 5s
  timeout client 1h
  timeout server 1h
frontend streams
  mode tcp
  bind 127.0.0.1:${ports.tcp}
  default_backend streams-origin
backend streams-origin
  mode tcp
  server origin ${origin}
frontend web
  bind 127.0.0.1:${ports.http}
${certificate === null ? '' : `  bind 127.0.0.1:${ports.tls} ssl crt ${certificate} alpn http/1.1\n`}  default_backend web-origin
backend web-origin
  server origin ${origin}
${
  echo === null
    ? ''
    : `frontend sockets
  bind 127.0.0.1:${ports.websocket}
  default_backend echo
backend echo
  server echo ${echo}
`
}`;
}

export async function proxyPorts(): Promise<ProxyPorts> {
  return {tcp: await freePort(), http: await freePort(), tls: await freePort(), websocket: await freePort()};
}

/** All services of a program on the same machine. */
export function servicesAt({tcp, http, tls, websocket}: ProxyPorts): Contender['at'] {
  const at = (port: number, isTls = false): Address => ({host: '127.0.0.1', port, tls: isTls});
  return {tcp: at(tcp), http: at(http), tls: at(tls, true), websocket: at(websocket)};
}

async function startWithFile(name: string, program: string, where: Where): Promise<Contender> {
  const ports = await proxyPorts();
  const file = join(where.directory, `${name}.cfg`);
  await writeFile(file, proxyConfiguration({...where, ports, certificate: await certificateFile(where.directory)}));
  const daemon = await startServer(onMeasuredCore([program, '-db', '-f', file]), ports.http);
  return {name, at: servicesAt(ports), pid: daemon.pid, [Symbol.asyncDispose]: () => daemon[Symbol.asyncDispose]()};
}

export function startPicogate(where: Where): Promise<Contender> {
  return startWithFile('Picogate', picogateProgram, where);
}

export function startHaproxy(where: Where): Promise<Contender> {
  return startWithFile('HAProxy', 'haproxy', where);
}

/** One process for each core, which share the ports: the kernel gives each new connection to one of them. */
export async function startPicogateOnAllCores(where: Where): Promise<Contender> {
  await using scope = new AsyncDisposableStack();
  const ports = await proxyPorts();
  const file = join(where.directory, 'all-cores-picogate.cfg');
  await writeFile(file, proxyConfiguration({...where, ports, certificate: null}));
  for (let process = 0; process < coreCount; process++) scope.use(await startServer(onAllCores([picogateProgram, '-db', '-f', file]), ports.http));
  const owned = scope.move();
  return {name: 'Picogate, all cores', at: servicesAt(ports), pid: null, [Symbol.asyncDispose]: () => owned.disposeAsync()};
}

/** One process with a thread for each core. */
export async function startHaproxyOnAllCores(where: Where): Promise<Contender> {
  const ports = await proxyPorts();
  const file = join(where.directory, 'all-cores-haproxy.cfg');
  await writeFile(file, proxyConfiguration({...where, ports, certificate: null, threads: coreCount}));
  const daemon = await startServer(onAllCores(['haproxy', '-db', '-f', file]), ports.http);
  return {name: 'HAProxy, all cores', at: servicesAt(ports), pid: daemon.pid, [Symbol.asyncDispose]: () => daemon[Symbol.asyncDispose]()};
}

/** The origin itself, as the ceiling: nothing is in between. */
export function asContender({port, pid}: Origin): Contender {
  const at: Address = {host: '127.0.0.1', port, tls: false};
  return {name: 'direct', pid, at: {tcp: at, http: at}, [Symbol.asyncDispose]: () => Promise.resolve()};
}
