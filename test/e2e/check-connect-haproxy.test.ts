/** Checks that connect in several ways, by Debian's HAProxy and by the program: the same results, and servers see the same. */
import {once} from 'node:events';
import {readFile} from 'node:fs/promises';
import {createServer as createWebServer, type RequestListener} from 'node:http';
import {type AddressInfo, createServer} from 'node:net';
import {join} from 'node:path';
import {createServer as createTlsServer, type TLSSocket} from 'node:tls';
import test, {type ExecutionContext, type TestFn} from 'ava';
import {run} from '../../src/core/command.ts';
import {askSocket} from '../admin/stats-client.ts';
import {startHaproxy} from '../edge/haproxy.ts';
import {makeTestCertificate} from '../edge/tls/certificates.ts';
import {dropInProgram} from '../helpers/drop-in-program.ts';
import {freePort} from '../helpers/gateway.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';
import {until} from '../helpers/until.ts';
import {parseStat} from './stat-table.ts';

const hasHaproxy = await run(['haproxy', '-v'], {timeoutMs: 5000}).then(
  () => true,
  () => false,
);
const haproxyTest: TestFn | TestFn['skip'] = hasHaproxy ? test : test.skip;

/** What servers have seen. */
class Seen {
  #lines = new Set<string>();

  add(line: string): void {
    this.#lines.add(line);
  }

  get lines(): readonly string[] {
    return [...this.#lines].sort();
  }

  clear(): void {
    this.#lines = new Set();
  }
}

async function listening(t: ExecutionContext, server: ReturnType<typeof createServer>): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => void server.close());
  return (server.address() as AddressInfo).port;
}

/** What the client has asked for; the types of Node do not know it. */
function nameOf(socket: TLSSocket & {readonly servername?: string | false}): string {
  return String(socket.servername);
}

interface Ports {
  readonly web: number;
  readonly missing: number;
  readonly tls: number;
  readonly banner: number;
  readonly closed: number;
}

async function openServers(t: ExecutionContext, directory: string, seen: Seen): Promise<Ports> {
  const {pemFile} = await makeTestCertificate(directory, {file: 'check.pem', names: ['check.test'], subject: '/CN=check.test'});
  const pem = await readFile(pemFile);
  const answer =
    (name: string, status: number): RequestListener =>
    (request, response) => {
      seen.add(`${name}: ${request.method} ${request.url} HTTP/${request.httpVersion} host=${request.headers.host ?? ''}`);
      response.writeHead(status).end(request.method === 'HEAD' ? '' : 'page');
    };
  const secure = createTlsServer({key: pem, cert: pem, ALPNProtocols: ['h2', 'http/1.1', 'special']}, (socket) => {
    seen.add(`tls: ${nameOf(socket)} ${String(socket.alpnProtocol)}`);
    socket.on('error', () => undefined);
    socket.once('data', () => void socket.end('HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n'));
  });
  secure.on('tlsClientError', () => undefined);
  const banner = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', (bytes: Buffer) => {
      const [first = ''] = bytes.toString('latin1').split('\r\n');
      seen.add(`banner: ${bytes[0] === 0x16 ? 'TLS' : first.replace(/ \d+ \d+$/, '')}`);
      socket.end('HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n');
    });
  });
  return {
    web: await listening(t, createWebServer(answer('web', 200))),
    missing: await listening(t, createWebServer(answer('missing', 404))),
    tls: await listening(t, secure),
    banner: await listening(t, banner),
    closed: await freePort(),
  };
}

const backends = ({web, missing, tls, banner, closed}: Ports): Readonly<Record<string, string>> => ({
  two: `
  option httpchk
  http-check connect
  http-check send meth GET uri /one ver HTTP/1.1 hdr host one.test
  http-check expect status 200
  http-check expect string page
  http-check connect port ${missing}
  http-check send meth HEAD uri /two
  http-check expect status 404
  server s 127.0.0.1:${web} check inter 2s`,
  'second-fails': `
  option httpchk
  http-check connect
  http-check send uri /three
  http-check expect status 200
  http-check connect port ${missing}
  http-check send uri /four
  server s 127.0.0.1:${web} check inter 2s`,
  'second-refused': `
  option httpchk
  http-check connect
  http-check send uri /five
  http-check expect status 200
  http-check connect port ${closed}
  http-check send uri /six
  server s 127.0.0.1:${web} check inter 2s`,
  'first-stops': `
  option httpchk
  http-check connect addr 127.0.0.1:${missing}
  http-check send uri /seven
  http-check expect status 200
  http-check connect
  http-check send uri /never
  server s 127.0.0.1:${web} check inter 2s`,
  'only-connects': `
  option httpchk GET /eight
  http-check connect addr 127.0.0.1 port ${web} comment here
  server s 127.0.0.1:${closed} check inter 2s`,
  'ends-connected': `
  option httpchk GET /nine
  http-check connect linger proto h1
  http-check send
  http-check expect status 200
  http-check connect
  server s 127.0.0.1:${web} check inter 2s`,
  'disable-404': `
  option httpchk GET /ten
  http-check disable-on-404
  http-check connect
  http-check send
  http-check expect status 200
  http-check connect port ${missing}
  http-check send uri /eleven
  server s 127.0.0.1:${web} check inter 2s`,
  'asks-sni': `
  option httpchk
  http-check connect ssl sni step.test alpn http/1.1
  http-check send uri /
  server s 127.0.0.1:${tls} check inter 2s verify none`,
  inherits: `
  option httpchk
  http-check connect default
  http-check send uri /
  server s 127.0.0.1:${tls} check inter 2s check-ssl verify none check-sni line.test check-alpn http/1.1,http/1.0 check-proto h1`,
  'does-not-inherit': `
  option httpchk
  http-check connect
  http-check send uri /plain
  server s 127.0.0.1:${web} check inter 2s check-ssl verify none check-sni wrong.test check-send-proxy`,
  overrides: `
  option httpchk
  http-check connect default sni over.test
  http-check send uri /
  server s 127.0.0.1:${tls} check inter 2s ssl verify none check-sni wrong.test`,
  'no-steps': `
  option httpchk
  server s 127.0.0.1:${tls} check inter 2s ssl verify none check-sni plain-line.test check-alpn http/1.1`,
  'finds-port': `
  option httpchk
  http-check set-var(check.port) int(${missing})
  http-check connect addr 127.0.0.1:${closed} port var(check.port)
  http-check send uri /twelve
  http-check expect status 404
  http-check set-var(check.text) str(${web}th)
  http-check connect port var(check.text)
  http-check send uri /thirteen
  http-check expect status 200
  http-check connect addr 127.0.0.1:${missing} port var(check.nothing)
  http-check send uri /fourteen
  http-check expect status 404
  http-check connect port int(0)
  http-check send uri /fifteen
  server s 127.0.0.1:${closed} check inter 2s port ${web}`,
  'port-of-answer': `
  option httpchk
  http-check connect
  http-check send uri /sixteen
  http-check set-var(check.length) res.body_len
  http-check expect status 200
  http-check connect port int(${missing - 4}),add(check.length)
  http-check send uri /seventeen
  server s 127.0.0.1:${web} check inter 2s`,
  'refused-port': `
  option httpchk
  http-check connect port int(${closed})
  http-check send uri /
  server s 127.0.0.1:${web} check inter 2s`,
  'tcp-finds-port': `
  mode tcp
  option tcp-check
  tcp-check set-var(check.port) int(${banner})
  tcp-check connect port var(check.port)
  tcp-check send port\r\n
  tcp-check expect string 200
  tcp-check connect port int(${closed})
  server s 127.0.0.1:${closed} check inter 2s`,
  'only-tls': `
  server s 127.0.0.1:${tls} check inter 2s check-ssl verify none check-sni only.test check-alpn special`,
  'other-name': `
  option httpchk
  http-check connect ssl
  http-check send uri /
  server s 127.0.0.1:${banner} check inter 2s verify none`,
  'sends-proxy': `
  option httpchk
  http-check connect send-proxy
  http-check send uri /
  server s 127.0.0.1:${banner} check inter 2s`,
  'inherits-proxy': `
  option httpchk
  http-check connect default
  http-check send uri /
  server s 127.0.0.1:${banner} check inter 2s check-send-proxy`,
  'sends-formats': `
  mode tcp
  option tcp-check
  tcp-check connect
  tcp-check send-lf "format %[int(40),add(2)]\\r\\n"
  tcp-check expect string 200
  server s 127.0.0.1:${banner} check inter 2s`,
  'sends-bytes': `
  mode tcp
  option tcp-check
  tcp-check send-binary-lf 6869%[str(20),hex]0d0a comment hi
  tcp-check expect string 200
  server s 127.0.0.1:${banner} check inter 2s`,
  'sends-no-bytes': `
  mode tcp
  option tcp-check
  tcp-check send-binary-lf 68x%[int(1)]
  tcp-check expect string 200
  server s 127.0.0.1:${banner} check inter 2s`,
  'tcp-steps': `
  mode tcp
  option tcp-check
  tcp-check connect addr 127.0.0.1 port ${tls} ssl sni tcp.test alpn special proto none linger comment first
  tcp-check send hello
  tcp-check expect string 200
  tcp-check connect default
  server s 127.0.0.1:${closed} check inter 2s port ${tls} check-ssl verify none check-sni tcp-default.test check-proto none`,
});

type Result = Readonly<Record<string, readonly (string | undefined)[]>>;

/** Once every server has been checked. */
async function results(socket: string, names: readonly string[]): Promise<Result> {
  const found = new Map<string, readonly (string | undefined)[]>();
  await until(
    async () => {
      const rows = parseStat(await askSocket(socket, 'show stat\n'));
      for (const name of names) {
        const row = rows.get(`${name}/s`);
        // While a check runs there is a star, and no code.
        if (row === undefined || !/^L\d/.test(row.check_status ?? '')) continue;
        // HAProxy adds what OpenSSL or the system says.
        found.set(name, [row.check_status, row.check_code, row.last_chk?.replace(/ \(.*/, '')]);
      }
      return found.size === names.length;
    },
    {what: 'all checks', intervalMs: 20},
  );
  return Object.fromEntries(found);
}

haproxyTest('checks connect as HAProxy does, and find the same', async (t) => {
  await using directory = await temporaryDirectory();
  const seen = new Seen();
  const sections = backends(await openServers(t, directory.path, seen));
  const names = Object.keys(sections);
  const configuration = async (socket: string): Promise<string> => `global
  stats socket ${socket} mode 600 level admin
defaults
  mode http
  timeout connect 2s
  timeout client 5s
  timeout server 5s
  timeout check 2s
frontend f
  bind 127.0.0.1:${await freePort()}
  default_backend two
${Object.entries(sections)
  .map(([name, lines]) => `backend ${name}${lines}`)
  .join('\n')}`;
  const theirSocket = join(directory.path, 'theirs.sock');
  const haproxy = await startHaproxy(directory.path, await configuration(theirSocket), theirSocket);
  const theirs = await results(theirSocket, names);
  await haproxy[Symbol.asyncDispose]();
  const theySaw = seen.lines;
  seen.clear();
  const ourSocket = join(directory.path, 'ours.sock');
  await dropInProgram(t, await configuration(ourSocket));
  const ours = await results(ourSocket, names);
  for (const [name, expected] of Object.entries(theirs)) t.deepEqual(ours[name], expected, name);
  // A handshake may be over for the client before it is for the server.
  await until(() => theySaw.every((line) => seen.lines.includes(line))).catch(() => undefined);
  t.deepEqual(seen.lines, theySaw);
  t.true(theySaw.includes('tls: step.test http/1.1'));
});
