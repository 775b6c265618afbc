/** Who switches to WebSocket, and who may not: Debian's HAProxy and our program. */
import {once} from 'node:events';
import {existsSync} from 'node:fs';
import {type AddressInfo, createServer} from 'node:net';
import test from 'ava';
import {rawExchange} from '../edge/http/raw-client.ts';
import {startPair, type Twin} from '../helpers/program-pair.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';

const pairTest = existsSync('/usr/sbin/haproxy') ? test : test.skip;

const configuration = `
defaults
  mode http
  timeout client 5s
  timeout server 5s
  timeout connect 5s
frontend web
  bind 127.0.0.1:\${WEB}
  default_backend answers
backend answers
  server origin 127.0.0.1:\${ORIGIN}
`;

const key = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n';
const accept = 'Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n';

const cases = [
  {asks: `Connection: upgrade\r\nUpgrade: websocket\r\n${key}`, path: '/agrees', status: '101'},
  {asks: 'Connection: upgrade\r\nUpgrade: websocket\r\n', path: '/agrees', status: '400'},
  {asks: `Connection: Upgrade\r\nUpgrade: WebSocket\r\n${key}`, path: '/forgets', status: '502'},
  {asks: 'Connection: upgrade\r\nUpgrade: other\r\n', path: '/other', status: '101'},
  {asks: 'Upgrade: websocket\r\n', path: '/plain', status: '200'},
] as const;

const answers: Readonly<Record<string, string>> = {
  '/agrees': `HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: websocket\r\n${accept}\r\n`,
  '/forgets': 'HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n',
  '/other': 'HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: other\r\n\r\n',
  '/plain': 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n',
};

async function course(twin: Twin): Promise<readonly string[]> {
  const seen: string[] = [];
  for (const {asks, path} of cases) {
    const text = await rawExchange(twin.port('WEB'), `GET ${path} HTTP/1.1\r\nHost: sockets.test\r\n${asks}\r\n`);
    seen.push(`${path}: ${text.slice(9, 12)}`);
  }
  return seen;
}

pairTest('a client that asks for WebSocket says a key, and a server that agrees answers it', async (t) => {
  await using scope = new AsyncDisposableStack();
  const directory = scope.use(await temporaryDirectory());
  const origin = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', (data: Buffer) => socket.end(answers[/ (\/\S+)/.exec(data.toString('latin1'))?.[1] ?? ''] ?? ''));
  });
  origin.listen(0, '127.0.0.1');
  await once(origin, 'listening');
  scope.defer(() => void origin.close());
  const {port} = origin.address() as AddressInfo;
  const pair = scope.use(await startPair({configuration, ports: ['WEB'], values: {ORIGIN: String(port)}, directory: directory.path}));
  const expected = await course(pair.haproxy);
  t.deepEqual(
    expected,
    cases.map(({path, status}) => `${path}: ${status}`),
  );
  t.deepEqual(await course(pair.picogate), expected);
});
