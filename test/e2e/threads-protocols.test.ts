/** HTTP/2 and WebSocket through each thread of `nbthread`. */
import {once} from 'node:events';
import {createServer} from 'node:http';
import {connect as connectHttp2} from 'node:http2';
import {connect} from 'node:net';
import test from 'ava';
import {makeTestCertificate} from '../edge/tls/certificates.ts';
import {dropInProgram} from '../helpers/drop-in-program.ts';
import {freePort} from '../helpers/gateway.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';
import {until} from '../helpers/until.ts';
import {serve} from './operator-servers.ts';

/** Three requests on one connection. @returns all answers */
async function overHttp2(port: number): Promise<string> {
  const client = connectHttp2(`https://127.0.0.1:${port}`, {rejectUnauthorized: false});
  try {
    const answers = await Promise.all(
      [1, 2, 3].map(async () => {
        const request = client.request({':path': '/'});
        request.setEncoding('latin1');
        let text = '';
        for await (const chunk of request) text += String(chunk);
        return text;
      }),
    );
    return answers.join(' ');
  } finally {
    client.destroy();
  }
}

/** What comes back of what is said after the handshake. */
async function overWebSocket(port: number): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  try {
    socket.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n');
    await once(socket, 'data');
    socket.write('ping');
    const [echoed] = (await once(socket, 'data')) as [Buffer];
    return String(echoed);
  } finally {
    socket.destroy();
  }
}

test('each thread serves HTTP/2 and WebSocket', async (t) => {
  t.timeout(60_000);
  await using scope = new AsyncDisposableStack();
  const {path: directory} = scope.use(await temporaryDirectory());
  await makeTestCertificate(directory, {file: 'site.pem', names: ['site.test']});
  const origin = createServer((_request, response) => void response.end('hello'));
  origin.on('upgrade', (_request, socket) => {
    const head = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n';
    socket.write(head);
    socket.pipe(socket);
  });
  const port = await serve(scope, origin, () => undefined);
  const [secure, plain] = [await freePort(), await freePort()];
  const program = await dropInProgram(
    t,
    `global
  nbthread 2
frontend front
  mode http
  bind 127.0.0.1:${secure} ssl crt ${directory}/site.pem alpn h2,http/1.1
  bind 127.0.0.1:${plain}
  default_backend back
backend back
  mode http
  server s 127.0.0.1:${port}
`,
  );
  const served = async (): Promise<readonly number[]> =>
    (/^requests: \d+ \[ (.*) \]$/m.exec(await program.ask('show activity'))?.[1] ?? '').split(' ').map(Number);
  for (const [name, ask, answer] of [
    ['HTTP/2', () => overHttp2(secure), 'hello hello hello'],
    ['WebSocket', () => overWebSocket(plain), 'ping'],
  ] as const) {
    const before = await served();
    await until(
      async () => {
        for (const one of await Promise.all(Array.from({length: 20}, ask))) t.is(one, answer, name);
        return (await served()).every((count, thread) => count > (before[thread] ?? 0));
      },
      {timeoutMs: 20_000, what: `each thread to serve ${name}`},
    );
  }
});
