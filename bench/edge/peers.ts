/** Peers beside HAProxy: nginx, systemd-socket-proxyd and http-proxy, each with one process that does the work. */
import {writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {run} from '../../src/core/command.ts';
import {freePort} from '../../test/helpers/gateway.ts';
import {streamModule} from '../udp/nginx-stream.ts';
import {onMeasuredCore} from './cores.ts';
import {type Contender, certificateFile, mostConnections, proxyPorts, servicesAt, startServer, type Where} from './programs.ts';

const httpProxyProgram = fileURLToPath(new URL('http-proxy-program.ts', import.meta.url));
export const socketProxyProgram = '/lib/systemd/systemd-socket-proxyd';

export const httpProxyVersion = '1.18.1';
const installTimeoutMs = 120_000;

/** With the stream module, and connections to the origin that are kept. */
export async function startNginx({directory, origin, echo}: Where): Promise<Contender> {
  const ports = await proxyPorts();
  const certificate = await certificateFile(directory);
  const file = join(directory, 'nginx.conf');
  const proxied = (upstream: string): string => `location / { proxy_pass http://${upstream}; }`;
  const text = `load_module ${streamModule};
daemon off;
user root;
worker_processes 1;
worker_rlimit_nofile 20000;
pid ${join(directory, 'nginx.pid')};
error_log /dev/null;
events { worker_connections ${2 * mostConnections}; }
stream {
  server { listen 127.0.0.1:${ports.tcp} backlog=4096; proxy_pass ${origin}; proxy_timeout 1h; }
}
http {
  access_log off;
  keepalive_requests 1000000000;
  keepalive_timeout 1h;
  client_header_timeout 1h;
  proxy_http_version 1.1;
  proxy_read_timeout 1h;
  proxy_max_temp_file_size 0;
  map $http_upgrade $connection_field { default upgrade; '' ''; }
  proxy_set_header Upgrade $http_upgrade;
  proxy_set_header Connection $connection_field;
  upstream origin { server ${origin}; keepalive 256; keepalive_requests 1000000000; }
  upstream echo { server ${echo ?? origin}; }
  server { listen 127.0.0.1:${ports.http} backlog=4096; ${proxied('origin')} }
  server { listen 127.0.0.1:${ports.tls} ssl backlog=4096; ssl_certificate ${certificate}; ssl_certificate_key ${certificate}; ${proxied('origin')} }
  server { listen 127.0.0.1:${ports.websocket} backlog=4096; ${proxied('echo')} }
}
`;
  await writeFile(file, text);
  const daemon = await startServer(onMeasuredCore(['nginx', '-e', '/dev/null', '-c', file]), ports.http);
  return {name: 'nginx', at: servicesAt(ports), pid: daemon.pid, [Symbol.asyncDispose]: () => daemon[Symbol.asyncDispose]()};
}

/** Started with its socket, as a socket unit does. It has streams only, and six descriptors for each. */
export async function startSocketProxy({origin}: Where): Promise<Contender> {
  const port = await freePort();
  const proxy = [socketProxyProgram, '--connections-max=3000', origin] as const;
  const daemon = await startServer(onMeasuredCore(['systemd-socket-activate', '--listen', `127.0.0.1:${port}`, ...proxy]), port);
  return {
    name: 'socket-proxyd',
    at: {tcp: {host: '127.0.0.1', port, tls: false}},
    pid: daemon.pid,
    [Symbol.asyncDispose]: () => daemon[Symbol.asyncDispose](),
  };
}

/** With an agent that keeps connections; npm brings the package into the directory. */
export async function startHttpProxy({directory, origin, echo}: Where): Promise<Contender> {
  const argv = ['npm', 'install', '--no-audit', '--no-fund', '--no-save', '--loglevel=error', '--prefix', directory, `http-proxy@${httpProxyVersion}`] as const;
  await run(argv, {timeoutMs: installTimeoutMs});
  const ports = {http: await freePort(), websocket: await freePort()};
  const options = ['--disable-warning=ExperimentalWarning', '--no-deprecation'] as const;
  const args = [directory, `${ports.http}=${origin}`, `${ports.websocket}=${echo ?? origin}`] as const;
  const daemon = await startServer(onMeasuredCore([process.execPath, ...options, httpProxyProgram, ...args]), ports.http);
  const at = (port: number) => ({host: '127.0.0.1', port, tls: false});
  return {
    name: 'http-proxy',
    at: {http: at(ports.http), websocket: at(ports.websocket)},
    pid: daemon.pid,
    [Symbol.asyncDispose]: () => daemon[Symbol.asyncDispose](),
  };
}
