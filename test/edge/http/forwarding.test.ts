import {once} from 'node:events';
import {request as httpRequest, type IncomingMessage} from 'node:http';
import {connect as connectH2} from 'node:http2';
import test from 'ava';
import {WebSocket, WebSocketServer} from 'ws';
import {run} from '../../../src/core/command.ts';
import {temporaryDirectory} from '../../helpers/temporary-directory.ts';
import {until} from '../../helpers/until.ts';
import {openTestHttp} from './http-fixture.ts';
import {httpOrigin, rawOrigin, scriptedOrigin} from './origin.ts';
import {rawClient, rawExchange} from './raw-client.ts';

const get = 'GET / HTTP/1.1\r\nHost: a\r\n';

for (const version of ['--http1.0', '--http1.1', '--http2-prior-knowledge']) {
  test(`curl ${version} gets and posts`, async (t) => {
    await using origin = await httpOrigin((request, response) => {
      let body = '';
      request.on('data', (data: Buffer) => {
        body += data.toString();
      });
      request.on('end', () => response.end(`${request.method ?? ''} ${request.url ?? ''} ${request.headers.host ?? ''} ${body.length}`));
    });
    await using http = await openTestHttp({servers: [origin.port]});
    const curl = async (...more: string[]) => (await run(['curl', '-sS', version, ...more, `${http.url}/path?q=1`], {timeoutMs: 10_000})).stdout;
    t.is(await curl(), `GET /path?q=1 127.0.0.1:${http.port} 0`);
    t.is(await curl('-d', 'x'.repeat(100_000)), `POST /path?q=1 127.0.0.1:${http.port} 100000`);
    if (version !== '--http1.0') t.is(await curl('-d', 'x'.repeat(100), '-H', 'Transfer-Encoding: chunked'), `POST /path?q=1 127.0.0.1:${http.port} 100`);
    else t.is(await curl('-d', 'x'), `POST /path?q=1 127.0.0.1:${http.port} 1`);
    t.regex(await curl('-I'), /^HTTP\/\S+ 200/);
    await until(() => http.records.length === 4);
    t.true(http.records.every(({termination, status}) => termination === '----' && status === 200));
    t.deepEqual(http.outcomes, ['done', 'done', 'done', 'done']);
  });
}

test('trailers go both ways', async (t) => {
  await using origin = await httpOrigin((request, response) => {
    request.resume().on('end', () => {
      response.writeHead(200, {trailer: 'x-sum'});
      response.write('body');
      response.addTrailers({'x-sum': request.trailers['x-up'] ?? 'none'});
      response.end();
    });
  });
  await using http = await openTestHttp({servers: [origin.port]});
  using client = await rawClient(
    http.port,
    'POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Up: 42\r\nHost: evil\r\n\r\n',
  );
  await client.received('0\r\nx-sum: 42\r\n\r\n');
  const session = connectH2(http.url);
  const stream = session.request({':method': 'POST', ':path': '/'}, {waitForTrailers: true});
  stream.on('wantTrailers', () => stream.sendTrailers({'x-up': '43'}));
  stream.end('hi');
  const [trailers] = (await once(stream, 'trailers')) as [Record<string, string>];
  t.is(trailers['x-sum'], '43');
  session.destroy();
});

test('a client that expects 100 gets it from the server, and one that does not gets none', async (t) => {
  await using origin = await rawOrigin((socket) => {
    socket.once('data', (data: Buffer) => {
      socket.write('HTTP/1.1 100 Continue\r\n\r\n');
      if (data.toString().includes('hello')) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
      else socket.once('data', (body: Buffer) => socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body.toString()}`));
    });
  });
  await using http = await openTestHttp({servers: [origin.port]});
  using client = await rawClient(http.port, 'POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n');
  await client.received('HTTP/1.1 100 Continue\r\n\r\n');
  client.socket.write('12345');
  await client.received('\r\n\r\n12345');
  using other = await rawClient(http.port, 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello');
  await other.received('200 OK');
  t.false(other.text().includes(' 100 '));
});

test('early hints pass, but not to HTTP/1.0', async (t) => {
  await using origin = await scriptedOrigin('HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
  await using http = await openTestHttp({servers: [origin.port]});
  using client = await rawClient(http.port, `${get}\r\n`);
  await client.received('\r\n\r\nok');
  t.regex(client.text(), /^HTTP\/1\.1 103 Early Hints\r\nlink: <\/a.css>\r\n\r\nHTTP\/1\.1 200 OK\r\n/);
  t.regex(await rawExchange(http.port, 'GET / HTTP/1.0\r\n\r\n'), /^HTTP\/1\.1 200 OK\r\n/);
  const session = connectH2(http.url);
  const stream = session.request({':path': '/'});
  const [hints] = (await once(stream, 'headers')) as [Record<string, unknown>];
  t.is(hints[':status'], 103);
  session.destroy();
});

test('answers without a body keep their framing, and the connection goes on', async (t) => {
  await using origin = await scriptedOrigin((head) => {
    if (head.startsWith('HEAD')) return 'HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n';
    if (head.includes('/204')) return 'HTTP/1.1 204 No Content\r\n\r\n';
    if (head.includes('/304')) return 'HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\nETag: "a"\r\n\r\n';
    return 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nend\r\n0\r\n\r\n';
  });
  await using http = await openTestHttp({servers: [origin.port]});
  using client = await rawClient(http.port, `HEAD / HTTP/1.1\r\nHost: a\r\n\r\n${get.replace('/', '/204')}\r\n${get.replace('/', '/304')}\r\n${get}\r\n`);
  await client.received('0\r\n\r\n');
  t.is(
    client.text(),
    'HTTP/1.1 200 OK\r\ncontent-length: 1234\r\n\r\nHTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 304 Not Modified\r\netag: "a"\r\ncontent-length: 99\r\n\r\n' +
      'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nend\r\n0\r\n\r\n',
  );
  t.is(origin.connections(), 1);
});

test('a body until the end of its connection becomes chunked, or ends the client’s connection', async (t) => {
  await using origin = await rawOrigin((socket) => {
    socket.once('data', () => socket.end('HTTP/1.0 200 OK\r\n\r\nuntil the end'));
  });
  await using http = await openTestHttp({servers: [origin.port]});
  using client = await rawClient(http.port, `${get}\r\n`);
  await client.received('d\r\nuntil the end\r\n0\r\n\r\n');
  t.is(await rawExchange(http.port, 'GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n'), 'HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nuntil the end');
});

test('fields about the connection stay on it', async (t) => {
  const seen: string[] = [];
  await using origin = await scriptedOrigin('HTTP/1.1 200 OK\r\nConnection: close, X-Mine\r\nKeep-Alive: timeout=5\r\nContent-Length: 0\r\n\r\n', seen);
  await using http = await openTestHttp({servers: [origin.port], frontend: {forwardFor: {header: 'X-Forwarded-For', except: null, ifNone: false}}});
  using client = await rawClient(
    http.port,
    `${get}Connection: keep-alive, X-Secret, X-Forwarded-For\r\nX-Secret: 1\r\nProxy-Connection: x\r\nKeep-Alive: 5\r\nTE: gzip\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n`,
  );
  await client.received('\r\n\r\n');
  t.deepEqual(seen, ['GET / HTTP/1.1\r\nhost: a\r\nx-forwarded-for: 127.0.0.1\r\n\r\n']);
  t.is(client.text(), 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n');
});

test('a WebSocket is a tunnel, with what comes right after the switch', async (t) => {
  const server = new WebSocketServer({port: 0, host: '127.0.0.1'});
  server.on('connection', (socket) => {
    socket.send('welcome');
    socket.on('message', (data: Buffer) => socket.send(`echo ${data.toString()}`));
  });
  await once(server, 'listening');
  await using http = await openTestHttp({servers: [(server.address() as {port: number}).port]});
  const client = new WebSocket(`ws://127.0.0.1:${http.port}/chat`);
  const messages: string[] = [];
  client.on('message', (data: Buffer) => messages.push(data.toString()));
  await once(client, 'open');
  client.send('x'.repeat(100_000));
  await until(() => messages.length === 2);
  t.deepEqual(messages, ['welcome', `echo ${'x'.repeat(100_000)}`]);
  client.close();
  await until(() => http.records.length === 1);
  t.like(http.records[0], {status: 101, termination: '----'});
  server.close();
});

test('an upgrade that the server refuses is an ordinary answer', async (t) => {
  await using origin = await scriptedOrigin('HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno');
  await using http = await openTestHttp({servers: [origin.port]});
  const client = new WebSocket(`ws://127.0.0.1:${http.port}/`);
  const [, answer] = (await once(client, 'unexpected-response')) as [unknown, {statusCode: number}];
  t.is(answer.statusCode, 403);
  client.on('error', () => undefined);
  client.terminate();
  using raw = await rawClient(http.port, `${get}Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`);
  await raw.received('\r\n\r\nno');
  raw.socket.write(`${get}\r\n`);
  await until(() => raw.text().split('403').length === 3);
});

test('CONNECT is a tunnel when the server agrees', async (t) => {
  await using origin = await rawOrigin((socket) => {
    socket.once('data', (data: Buffer) => {
      socket.write(data.toString().startsWith('CONNECT b:443') ? 'HTTP/1.1 200 OK\r\n\r\nhello' : 'HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n');
      socket.pipe(socket);
    });
  });
  await using http = await openTestHttp({servers: [origin.port]});
  using client = await rawClient(http.port, 'CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\n\r\nearly');
  await client.received('\r\n\r\nhelloearly');
  client.socket.end('last');
  t.true((await client.over).endsWith('helloearlylast'));
});

test('a slow reader slows the server down, and nothing piles up here', async (t) => {
  const total = 64 * 1024 * 1024;
  let sent = 0;
  await using origin = await httpOrigin((_request, response) => {
    response.writeHead(200, {'content-length': total});
    const chunk = Buffer.alloc(65_536);
    const send = (): void => {
      while (sent < total) {
        sent += chunk.length;
        if (!response.write(chunk)) {
          response.once('drain', send);
          return;
        }
      }
      response.end();
    };
    send();
  });
  await using http = await openTestHttp({servers: [origin.port]});
  let got = 0;
  const request = httpRequest({port: http.port, host: '127.0.0.1'}).end();
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  response.pause();
  let last = -1;
  await until(
    () => {
      const isStill = last === sent;
      last = sent;
      return isStill;
    },
    {intervalMs: 200},
  );
  t.true(sent < total / 2, `${sent} of ${total} bytes were taken`);
  for await (const chunk of response) got += (chunk as Buffer).length;
  t.is(got, total);
});

test('a slow server slows the client down', async (t) => {
  let resume = (): void => undefined;
  let got = 0;
  await using origin = await httpOrigin((request, response) => {
    request.pause();
    resume = () => {
      request.on('data', (data: Buffer) => {
        got += data.length;
      });
      request.on('end', () => response.end());
      request.resume();
    };
  });
  await using http = await openTestHttp({servers: [origin.port]});
  const total = 64 * 1024 * 1024;
  const request = httpRequest({port: http.port, host: '127.0.0.1', method: 'POST', headers: {'content-length': total}});
  let sent = 0;
  const chunk = Buffer.alloc(65_536);
  const send = (): void => {
    while (sent < total) {
      sent += chunk.length;
      if (!request.write(chunk)) {
        request.once('drain', send);
        return;
      }
    }
    request.end();
  };
  send();
  let last = -1;
  await until(
    () => {
      const isStill = last === sent;
      last = sent;
      return isStill;
    },
    {intervalMs: 200},
  );
  t.true(sent < total / 2, `${sent} of ${total} bytes were taken`);
  resume();
  await once(request, 'response');
  t.is(got, total);
  request.destroy();
});

test('a client that leaves takes its request from the server', async (t) => {
  await using origin = await rawOrigin((socket) => {
    socket.once('data', () => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nstart'));
  });
  await using http = await openTestHttp({servers: [origin.port]});
  using client = await rawClient(http.port, `${get}\r\n`);
  await client.received('start');
  client.socket.resetAndDestroy();
  await until(() => origin.open() === 0);
  t.like(http.records[0], {termination: 'CD--', status: 200});
  t.deepEqual(http.outcomes, ['client-abort']);
});

test('a client that leaves in the middle of its body takes its request from the server', async (t) => {
  await using origin = await rawOrigin((socket) => void socket.resume());
  await using http = await openTestHttp({servers: [origin.port]});
  using client = await rawClient(http.port, 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nstart');
  await until(() => origin.open() === 1);
  client.socket.end();
  await until(() => origin.open() === 0);
  t.like(http.records[0], {termination: 'CH--', status: 0});
});

test('an answer that breaks off breaks off for the client too', async (t) => {
  await using origin = await rawOrigin((socket) => {
    socket.once('data', (data: Buffer) =>
      socket.end(
        `HTTP/1.1 200 OK\r\n${data.toString().includes('/c') ? 'Transfer-Encoding: chunked\r\n\r\n5\r\nstart\r\n' : 'Content-Length: 100\r\n\r\nstart'}`,
      ),
    );
  });
  await using http = await openTestHttp({servers: [origin.port]});
  t.true((await rawExchange(http.port, `${get}\r\n`)).endsWith('start'));
  t.false((await rawExchange(http.port, `${get.replace('/', '/c')}\r\n`)).includes('0\r\n\r\n'));
  t.deepEqual(
    http.records.map(({termination}) => termination),
    ['SD--', 'SD--'],
  );
  const session = connectH2(http.url);
  const stream = session.request({':path': '/'});
  stream.resume();
  await t.throwsAsync(once(stream, 'end'), {code: 'ERR_HTTP2_STREAM_ERROR'});
  session.destroy();
});

test('an answer before the end of the request is passed on, and the connection ends', async (t) => {
  await using origin = await rawOrigin((socket) => {
    socket.once('data', () => socket.write('HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig'));
    socket.resume();
  });
  await using http = await openTestHttp({servers: [origin.port]});
  const answer = await rawExchange(http.port, 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nstart');
  t.regex(answer, /^HTTP\/1\.1 413 Too Large\r\n[\s\S]*big$/);
  await until(() => origin.open() === 0);
});

test('a server on a unix socket, and one of HTTP/2', async (t) => {
  const {createServer} = await import('node:http');
  const {createServer: createH2} = await import('node:http2');
  await using directory = await temporaryDirectory();
  const path = `${directory.path}/web.sock`;
  const plain = createServer((_request, response) => response.end('from a unix socket'));
  plain.listen(path);
  await once(plain, 'listening');
  await using http = await openTestHttp({servers: [path]});
  t.is(await (await fetch(http.url)).text(), 'from a unix socket');
  plain.closeAllConnections();
  plain.close();

  const server = createH2();
  server.on('stream', (stream, headers) => {
    let body = '';
    stream.on('data', (data: Buffer) => {
      body += data.toString();
    });
    stream.on('end', () => {
      stream.respond({':status': 201, 'x-path': headers[':path']}, {waitForTrailers: true});
      stream.on('wantTrailers', () => stream.sendTrailers({'x-sum': 'sum'}));
      stream.end(`h2 ${headers[':authority'] ?? ''} ${body}`);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const port = (server.address() as {port: number}).port;
  await using h2 = await openTestHttp({servers: [port], server: {proto: 'h2'}});
  using client = await rawClient(h2.port, 'POST /p?q HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody');
  await client.received('0\r\nx-sum: sum\r\n\r\n');
  t.regex(client.text(), /^HTTP\/1\.1 201 Created\r\nx-path: \/p\?q\r\n/);
  t.true(client.text().includes('h2 a body'));
  const answers = await Promise.all(Array.from({length: 20}, async () => (await fetch(h2.url, {method: 'POST', body: 'x'})).text()));
  t.true(answers.every((answer) => answer === `h2 127.0.0.1:${h2.port} x`));
  server.close();
});

test('many requests over one HTTP/2 connection', async (t) => {
  await using origin = await httpOrigin((request, response) => response.end(request.url));
  await using http = await openTestHttp({servers: [origin.port]});
  const session = connectH2(http.url);
  const answers = await Promise.all(
    Array.from({length: 100}, async (_, at) => {
      const stream = session.request({':path': `/${at}`, cookie: 'a=1'});
      let text = '';
      for await (const chunk of stream) text += String(chunk);
      return text;
    }),
  );
  t.deepEqual(
    answers,
    Array.from({length: 100}, (_, at) => `/${at}`),
  );
  session.destroy();
});
