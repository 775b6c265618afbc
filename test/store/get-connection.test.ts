import {once} from 'node:events';
import {createServer, type Socket} from 'node:net';
import {setTimeout as sleep} from 'node:timers/promises';
import test, {type ExecutionContext} from 'ava';
import type {Get, Head} from '../../src/store/get-connection.ts';
import {GetConnections} from '../../src/store/get-connections.ts';
import {fc} from '../helpers/properties.ts';
import {until} from '../helpers/until.ts';

/** What a server does with a connection. `request()` resolves to the next head that comes. */
type Serve = (socket: Socket, request: () => Promise<string>) => Promise<void>;

interface Lab {
  readonly url: URL;
  readonly connections: GetConnections;
  /** How many were made. */
  readonly made: () => number;
}

async function lab(t: ExecutionContext, serve: Serve): Promise<Lab> {
  let made = 0;
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    made++;
    sockets.add(socket);
    socket.on('error', () => undefined);
    const pieces: AsyncIterator<unknown, unknown> = socket[Symbol.asyncIterator]();
    serve(socket, () => nextHead(pieces)).catch(() => socket.destroy());
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const connections = new GetConnections({connectTimeoutMs: 5000});
  t.teardown(() => {
    connections[Symbol.dispose]();
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return {url: new URL(`http://127.0.0.1:${address.port}/a/b?c=d`), connections, made: () => made};
}

async function nextHead(pieces: AsyncIterator<unknown, unknown>): Promise<string> {
  let head = '';
  while (!head.endsWith('\r\n\r\n')) {
    const {value, done} = await pieces.next();
    if (done === true) throw new Error('the client is gone');
    head += String(value);
  }
  return head;
}

interface Asked {
  readonly body: Buffer | undefined;
  readonly head: Head | undefined;
  readonly arrived: number;
}

async function ask({url, connections}: Lab, options: Partial<Get> = {}): Promise<Asked> {
  let body: Buffer | undefined;
  let arrived = 0;
  const place = (head: Head): Buffer => {
    body = Buffer.alloc(head.sizeBytes);
    return body;
  };
  const count = (bytes: number): void => {
    arrived += bytes;
  };
  const head = await connections.get({url, range: undefined, signal: AbortSignal.timeout(10_000), place, arrived: count, ...options});
  return {body, head, arrived};
}

function answer(body: string | Buffer): Buffer {
  return Buffer.concat([Buffer.from(`HTTP/1.1 206 Partial Content\r\nETag: "e"\r\nContent-Length: ${body.length}\r\n\r\n`), Buffer.from(body)]);
}

test('requests say what is wanted, one after the other on one connection, and get status, headers and body', async (t) => {
  const heads: string[] = [];
  const opened = await lab(t, async (socket, request) => {
    for (let count = 1; ; count++) {
      heads.push(await request());
      socket.write(answer(`body ${count}`));
    }
  });
  const {head, body, arrived} = await ask(opened, {range: 'bytes=3-8'});
  t.is(heads[0], `GET /a/b?c=d HTTP/1.1\r\nHost: ${opened.url.host}\r\nRange: bytes=3-8\r\n\r\n`);
  t.is(head?.status, 206);
  t.is(head?.headers.get('etag'), '"e"');
  t.is(body?.toString(), 'body 1');
  t.is(arrived, 6);
  t.is((await ask(opened)).body?.toString(), 'body 2');
  t.is(opened.made(), 1);
});

test('a connection that is used again and again holds on to nothing', async (t) => {
  const warnings: string[] = [];
  const warn = ({name}: Error): void => void warnings.push(name);
  process.on('warning', warn);
  t.teardown(() => process.off('warning', warn));
  const opened = await lab(t, async (socket, request) => {
    for (;;) {
      await request();
      socket.write(answer('ok'));
    }
  });
  for (let count = 0; count < 30; count++) t.is((await ask(opened)).body?.toString(), 'ok');
  await sleep(10);
  t.deepEqual([opened.made(), warnings], [1, []]);
});

test('it does not matter where an answer is cut in pieces', async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({maxLength: 300}), fc.array(fc.nat(400), {maxLength: 6}), async (content, cuts) => {
      const bytes = answer(Buffer.from(content));
      const opened = await lab(t, async (socket, request) => {
        for (;;) {
          await request();
          const ends = [...cuts.filter((cut) => cut < bytes.length).sort((a, b) => a - b), bytes.length];
          for (const [at, end] of ends.entries()) {
            socket.write(bytes.subarray(ends[at - 1] ?? 0, end));
            await sleep(1);
          }
        }
      });
      for (let count = 0; count < 2; count++) t.deepEqual((await ask(opened)).body, Buffer.from(content));
      t.is(opened.made(), 1);
      opened.connections[Symbol.dispose]();
    }),
    {numRuns: 30},
  );
});

const notUnderstood = {
  'no HTTP': 'SSH-2.0-OpenSSH_9.2\r\n\r\n',
  'an answer of HTTP/1.0': 'HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok',
  'an answer of which nobody says how long it is': 'HTTP/1.1 200 OK\r\n\r\n',
  'an answer in chunks': 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n',
  'two lengths': 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\ncontent-length: 3\r\n\r\nok',
  'a length that is none': 'HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok',
  'an answer before the answer': 'HTTP/1.1 103 Early Hints\r\nContent-Length: 0\r\n\r\n',
  'a head that is too long': `HTTP/1.1 200 OK\r\nX-Long: ${'x'.repeat(20_000)}`,
} as const;

for (const [name, bytes] of Object.entries(notUnderstood)) {
  test(`${name} is left to others, and the connection is closed`, async (t) => {
    let closed = false;
    const opened = await lab(t, async (socket, request) => {
      socket.once('close', () => {
        closed = true;
      });
      await request();
      socket.write(bytes);
    });
    t.deepEqual(await ask(opened), {head: undefined, body: undefined, arrived: 0});
    await until(async () => Promise.resolve(closed), {timeoutMs: 5000, what: 'the connection to be closed'});
  });
}

test('a body that is not wanted, and an answer that ends the connection, leave none behind', async (t) => {
  const opened = await lab(t, async (socket, request) => {
    await request();
    socket.write('HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok');
  });
  t.is((await ask(opened)).body?.toString(), 'ok');
  t.is((await ask(opened, {place: () => undefined})).head, undefined);
  t.is((await ask(opened)).body?.toString(), 'ok');
  t.is(opened.made(), 3);
});

test('what the place for the body throws is what the request rejects with', async (t) => {
  const opened = await lab(t, async (socket, request) => {
    await request();
    socket.write(answer('x'));
  });
  const error = new RangeError('not that');
  const place = (): never => {
    throw error;
  };
  t.is(await t.throwsAsync(ask(opened, {place})), error);
});

test('after an abort nothing more is written into the memory', async (t) => {
  const goOn = Promise.withResolvers<void>();
  const opened = await lab(t, async (socket, request) => {
    await request();
    socket.write(answer('x'.repeat(100)).subarray(0, -50));
    await goOn.promise;
    socket.write('y'.repeat(50));
  });
  const memory = Buffer.alloc(100);
  const abort = new AbortController();
  const reason = new Error('enough');
  const asked = ask(opened, {place: () => memory, signal: abort.signal, arrived: () => setImmediate(() => abort.abort(reason))});
  t.is(await t.throwsAsync(asked), reason);
  memory.fill(0);
  goOn.resolve();
  await sleep(50);
  t.true(memory.equals(Buffer.alloc(100)));
});

for (const [name, serve] of Object.entries({
  'in the body': async (socket, request) => {
    await request();
    socket.end(answer('x'.repeat(100)).subarray(0, -1));
  },
  'in the head': async (socket, request) => {
    await request();
    socket.end('HTTP/1.1 20');
  },
  'without an answer': async (socket, request) => {
    await request();
    socket.resetAndDestroy();
  },
} satisfies Record<string, Serve>)) {
  test(`a server that goes away ${name} is a failure of the network`, async (t) => {
    const opened = await lab(t, serve);
    t.is((await t.throwsAsync<NodeJS.ErrnoException>(ask(opened))).code, 'ECONNRESET');
  });
}

test('more than was announced is an error, or is not read', async (t) => {
  const opened = await lab(t, async (socket, request) => {
    await request();
    socket.write(Buffer.concat([answer('ok'), Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n')]));
  });
  t.is((await t.throwsAsync<NodeJS.ErrnoException>(ask(opened))).code, 'EPROTO');
});

test('a connection on which something comes that nobody asked for, or that is closed while it rests, is not used again', async (t) => {
  const opened = await lab(t, async (socket, request) => {
    await request();
    socket.write(answer('ok'));
    await sleep(20);
    if (opened.made() === 1) socket.write('HTTP/1.1 408 Request Timeout\r\n');
    else socket.end();
  });
  for (const made of [1, 2, 3]) {
    t.is((await ask(opened)).body?.toString(), 'ok');
    t.is(opened.made(), made);
    await sleep(100);
  }
});

test('no more than 64 requests are under way at a time, the others wait', async (t) => {
  let [now, most] = [0, 0];
  const opened = await lab(t, async (socket, request) => {
    for (;;) {
      await request();
      most = Math.max(most, ++now);
      await sleep(20);
      now--;
      socket.write(answer('ok'));
    }
  });
  const bodies = await Promise.all(Array.from({length: 150}, async () => (await ask(opened)).body?.toString()));
  t.true(bodies.every((body) => body === 'ok'));
  t.is(most, 64);
  t.is(opened.made(), 64);
});

test('where nobody listens, the error is that of the system', async (t) => {
  using connections = new GetConnections({connectTimeoutMs: 5000});
  const get = {range: undefined, signal: AbortSignal.timeout(10_000), place: () => undefined, arrived: () => undefined};
  t.is((await t.throwsAsync<NodeJS.ErrnoException>(connections.get({...get, url: new URL('http://127.0.0.1:1/')}))).code, 'ECONNREFUSED');
});
