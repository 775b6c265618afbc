/** WebSockets on HTTP/2 (RFC 8441) to servers of HTTP/1.1, through Debian's HAProxy and through our program. */
import {createHash} from 'node:crypto';
import {once} from 'node:events';
import {existsSync} from 'node:fs';
import {createServer, type IncomingMessage} from 'node:http';
import {type ClientHttp2Session, type ClientHttp2Stream, connect, type IncomingHttpHeaders, type IncomingHttpStatusHeader} from 'node:http2';
import type {AddressInfo} from 'node:net';
import type {Duplex} from 'node:stream';
import anyTest, {type TestFn} from 'ava';
import {WebSocket, WebSocketServer} from 'ws';
import {type ProgramPair, startPair, type Twin} from '../helpers/program-pair.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';
import {until} from '../helpers/until.ts';

const test = anyTest as TestFn<{pair: ProgramPair; readonly owned: AsyncDisposableStack}>;
const pairTest = existsSync('/usr/sbin/haproxy') ? test : test.skip;

const configuration = `
defaults
  mode http
  timeout connect 2s
  timeout client 10s
  timeout server 10s
frontend f
  bind 127.0.0.1:\${WEB} proto h2
  log 127.0.0.1:\${LOG} local0
  option httplog
  http-request set-header X-Path %[path]
  http-request deny deny_status 403 if { path /denied }
  http-request return status 200 if { path /returned }
  http-response set-header X-Rule yes
  default_backend b
backend b
  server s1 127.0.0.1:\${ORIGIN}
`;

/** What the server is asked for with, as far as it says. */
const asked: IncomingMessage[] = [];

/** Switches at /echo, refuses at /refuse, answers as if nothing had been asked at /page, and is no WebSocket server at /wrong. */
function upgrade(websockets: WebSocketServer, request: IncomingMessage, socket: Duplex, head: Buffer): void {
  asked.push(request);
  socket.on('error', () => undefined);
  if (request.url === '/refuse') socket.end('HTTP/1.1 400 Bad Request\r\nContent-Length: 3\r\n\r\nno\n');
  else if (request.url === '/page') socket.end('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\npage\n');
  else if (request.url === '/wrong')
    socket.end(`HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${'A'.repeat(27)}=\r\n\r\n`);
  else
    websockets.handleUpgrade(request, socket, head, (websocket) =>
      websocket.on('message', (data: Buffer, isBinary) => websocket.send(data, {binary: isBinary})),
    );
}

test.before(async (t) => {
  await using scope = new AsyncDisposableStack();
  const directory = scope.use(await temporaryDirectory());
  const websockets = new WebSocketServer({noServer: true});
  const origin = createServer((_request, response) => response.end('plain'));
  origin.on('upgrade', (request, socket, head) => upgrade(websockets, request, socket, head));
  origin.listen(0, '127.0.0.1');
  await once(origin, 'listening');
  scope.defer(async () => {
    for (const websocket of websockets.clients) websocket.terminate();
    origin.closeAllConnections();
    origin.close();
    await once(origin, 'close');
  });
  const values = {ORIGIN: String((origin.address() as AddressInfo).port)};
  t.context.pair = scope.use(await startPair({configuration, ports: ['WEB'], values, directory: directory.path}));
  Object.assign(t.context, {owned: scope.move()});
});

test.after.always((t) => t.context.owned.disposeAsync());

async function session(twin: Twin): Promise<ClientHttp2Session & AsyncDisposable> {
  const opened = connect(`http://127.0.0.1:${twin.port('WEB')}`);
  // Of one that was destroyed before, nothing says that it has closed.
  const closed = new Promise((resolve) => void opened.once('close', resolve));
  await once(opened, 'remoteSettings');
  return Object.assign(opened, {
    async [Symbol.asyncDispose]() {
      opened.destroy();
      await closed;
    },
  });
}

type Answer = IncomingHttpHeaders & IncomingHttpStatusHeader;

async function ask(client: ClientHttp2Session, path: string): Promise<{stream: ClientHttp2Stream; answer: Answer}> {
  const stream = client.request({
    ':method': 'CONNECT',
    ':protocol': 'websocket',
    ':scheme': 'http',
    ':path': path,
    ':authority': 'chat.test',
    'sec-websocket-version': '13',
    'sec-websocket-protocol': 'chat',
    origin: 'http://chat.test',
  });
  stream.on('error', () => undefined);
  const [answer] = (await once(stream, 'response')) as [Answer];
  return {stream, answer};
}

/** A client of the WebSocket library that speaks over a stream: the handshake is done. */
async function overStream(stream: ClientHttp2Stream): Promise<WebSocket> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  server.once('upgrade', (request, socket: Duplex) => {
    const accept = createHash('sha1')
      .update(`${request.headers['sec-websocket-key'] ?? ''}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
      .digest('base64');
    socket.write(`HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`);
    socket.pipe(stream).pipe(socket);
    server.close();
  });
  const websocket = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`);
  await once(websocket, 'open');
  return websocket;
}

const twins = ({haproxy, picogate}: ProgramPair): readonly Twin[] => [haproxy, picogate];

pairTest('a WebSocket on a stream: messages of all sizes come back, other requests go on, and its close is told', async (t) => {
  for (const twin of twins(t.context.pair)) {
    await using client = await session(twin);
    t.true(client.remoteSettings.enableConnectProtocol, twin.name);
    const {stream, answer} = await ask(client, '/echo');
    t.is(answer[':status'], 200, twin.name);
    t.is(answer['sec-websocket-protocol'], 'chat');
    t.is(answer['x-rule'], 'yes');
    const websocket = await overStream(stream);
    for (const size of [0, 1, 125, 126, 70_000, 3_000_000]) {
      websocket.send(Buffer.alloc(size, 'm'));
      const [data] = (await once(websocket, 'message')) as [Buffer];
      t.true(data.equals(Buffer.alloc(size, 'm')), `${twin.name}: ${size} bytes`);
    }
    const plain = client.request({':path': '/', ':authority': 'chat.test'});
    t.is((await plain.setEncoding('utf8').toArray()).join(''), 'plain', twin.name);
    websocket.close(1000, 'done');
    const [code] = (await once(websocket, 'close')) as [number];
    t.is(code, 1000, twin.name);
    await until(() => twin.lines.some((line) => line.includes('/echo')), {what: `${twin.name} to log it`});
  }
  const [theirs, ours] = twins(t.context.pair).map(({lines}) => {
    const [, status, flags, request] = / (\d+) \d+ - - (----) .* "(.*)"$/.exec(lines.find((line) => line.includes('/echo')) ?? '') ?? [];
    // HAProxy has the whole URL for all requests of HTTP/2.
    return [status, flags, request?.replace('http://chat.test', '')];
  });
  t.deepEqual(ours, ['101', '----', 'GET /echo HTTP/2.0']);
  t.deepEqual(ours, theirs);
});

pairTest('the server hears of it as HTTP/1.1 has it', async (t) => {
  const seen: Record<string, string | undefined>[] = [];
  for (const twin of twins(t.context.pair)) {
    await using client = await session(twin);
    asked.length = 0;
    const {stream} = await ask(client, '/echo');
    stream.destroy();
    const [request] = asked;
    if (request === undefined) throw new Error(`${twin.name} has not asked`);
    const {method, url, headers, httpVersion} = request;
    const {'sec-websocket-key': key = '', host, upgrade: protocol, connection, origin, 'sec-websocket-version': version, 'x-path': path} = headers;
    t.is(Buffer.from(key, 'base64').length, 16, twin.name);
    seen.push({method, url, httpVersion, host, protocol, connection: connection?.toLowerCase(), origin, version, path: String(path)});
  }
  t.deepEqual(seen[1], seen[0]);
});

pairTest('what is refused stays refused: by a rule, or by the server', async (t) => {
  for (const [path, status] of Object.entries({'/denied': 403, '/refuse': 400})) {
    for (const twin of twins(t.context.pair)) {
      await using client = await session(twin);
      t.is((await ask(client, path)).answer[':status'], status, `${twin.name} ${path}`);
    }
  }
});

pairTest(
  'a server that has not understood is no success, nor is an answer without a switch, of which HAProxy 2.6 says that it is; the log agrees',
  async (t) => {
    const expected = {
      haproxy: {'/wrong': '502 PH--', '/page': '200 ----', '/returned': '200 LR--'},
      picogate: {'/wrong': '502 PH--', '/page': '502 PH--', '/returned': '502 LR--'},
    };
    for (const twin of twins(t.context.pair)) {
      for (const [path, logged] of Object.entries(expected[twin.name])) {
        await using client = await session(twin);
        t.is((await ask(client, path)).answer[':status'], Number(logged.slice(0, 3)), `${twin.name} ${path}`);
        // A stream ends that is no tunnel; where HAProxy says that there is one, its client leaves.
        client.destroy();
        const line = (): string => twin.lines.find((one) => one.includes(`${path} HTTP`)) ?? '';
        await until(() => line() !== '', {what: `${twin.name} to log ${path}`});
        const [, status = '', flags = ''] = / (\d+) \d+ - - (\S{4}) /.exec(line()) ?? [];
        t.is(`${status} ${flags}`, logged, `${twin.name} ${path}`);
      }
    }
  },
);

pairTest('one that leaves takes the connection to the server along', async (t) => {
  for (const twin of twins(t.context.pair)) {
    await using client = await session(twin);
    asked.length = 0;
    const {stream} = await ask(client, '/echo');
    const socket = asked[0]?.socket;
    stream.close(8);
    await until(() => socket?.destroyed === true, {what: `${twin.name} to close its connection to the server`});
    t.pass();
  }
});

pairTest('a :protocol that is no CONNECT, or no token, breaks the stream, not the program', async (t) => {
  const {picogate} = t.context.pair;
  const answers: number[] = [];
  for (const headers of [
    {':method': 'GET', ':protocol': 'websocket'},
    {':method': 'CONNECT', ':protocol': 'web socket'},
  ]) {
    await using client = await session(picogate);
    const stream = client.request({':scheme': 'http', ':path': '/echo', ':authority': 'chat.test', ...headers});
    stream.on('error', () => undefined);
    stream.resume();
    stream.on('response', (answer) => answers.push(answer[':status'] ?? 0));
    if (!stream.closed) await new Promise((resolve) => void stream.once('close', resolve));
  }
  t.true(
    answers.every((status) => status === 400),
    String(answers),
  );
  await using client = await session(picogate);
  const {answer} = await ask(client, '/echo');
  t.is(answer[':status'], 200);
});
