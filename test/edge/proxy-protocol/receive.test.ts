import {once} from 'node:events';
import {connect, type Socket} from 'node:net';
import test from 'ava';
import {errorCode} from '../../../src/core/errors.ts';
import {bareProxyHeader, type ProxyHeader} from '../../../src/edge/proxy-protocol/proxy-header.ts';
import {receiveProxyHeader} from '../../../src/edge/proxy-protocol/receive-proxy-header.ts';
import {formatVersion2} from '../../../src/edge/proxy-protocol/version-2.ts';
import {until} from '../../helpers/until.ts';
import {testServer} from '../edge-fixture.ts';

interface Received {
  readonly header: ProxyHeader | null;
  readonly error: string | null;
  rest: string;
  ended: boolean;
}

/** A listener that takes the header off and keeps what follows. */
async function receiver({timeoutMs = 5000} = {}) {
  const received: Received[] = [];
  const serve = async (socket: Socket): Promise<void> => {
    try {
      const entry: Received = {header: (await receiveProxyHeader(socket, {timeoutMs})).header, error: null, rest: '', ended: false};
      received.push(entry);
      socket.on('data', (data: Buffer) => {
        entry.rest += data.toString();
      });
      socket.on('end', () => {
        entry.ended = true;
        socket.end();
      });
      socket.resume();
    } catch (error) {
      received.push({header: null, error: errorCode(error) ?? String(error), rest: '', ended: false});
      socket.destroy();
    }
  };
  const server = await testServer((socket) => void serve(socket));
  return {port: server.port, sockets: server.sockets, received, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]()};
}

async function client(port: number): Promise<Socket> {
  const socket = connect({port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true});
  socket.on('error', () => {
    // Resets are part of some tests.
  });
  await once(socket, 'connect');
  return socket;
}

const header: ProxyHeader = {
  ...bareProxyHeader,
  addresses: {kind: 'ip', transport: 'stream', source: {host: '192.0.2.1', port: 1}, destination: {host: '192.0.2.2', port: 2}},
  authority: 'a.test',
};
const line = Buffer.from('PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n');

test('a header in two pieces, cut anywhere, and what follows it', async (t) => {
  await using server = await receiver();
  for (const bytes of [line, formatVersion2(header, {checksum: true})]) {
    const whole = Buffer.concat([bytes, Buffer.from('payload')]);
    await Promise.all(
      Array.from({length: whole.length}, async (_, cut) => {
        const socket = await client(server.port);
        socket.write(whole.subarray(0, cut));
        await new Promise((resolve) => setImmediate(resolve));
        socket.end(whole.subarray(cut));
        socket.resume();
        await once(socket, 'close');
      }),
    );
    t.is(server.received.length, whole.length);
    for (const {header: read, rest, ended} of server.received.splice(0)) {
      t.deepEqual(read?.addresses, header.addresses);
      t.deepEqual([rest, ended], ['payload', true]);
    }
  }
});

test('a header and all that follows may come at once, and be much', async (t) => {
  await using server = await receiver();
  const long = formatVersion2({...header, authority: 'x'.repeat(65_000)}, {checksum: true});
  const payload = 'y'.repeat(300_000);
  const socket = await client(server.port);
  socket.end(Buffer.concat([long, Buffer.from(payload)]));
  await once(socket.resume(), 'close');
  t.is(server.received[0]?.header?.authority?.length, 65_000);
  t.is(server.received[0]?.rest, payload);
});

test('nothing, something else, half of a header', async (t) => {
  await using server = await receiver({timeoutMs: 100});
  for (const [bytes, leaves, expected] of [
    ['', false, 'ERR_FIRST_BYTES_TIMEOUT'],
    ['PROXY TCP4 ', false, 'ERR_FIRST_BYTES_TIMEOUT'],
    ['PROXY TCP4 ', true, 'ERR_FIRST_BYTES_ENDED'],
    ['', true, 'ERR_FIRST_BYTES_ENDED'],
    ['GET / HTTP/1.1\r\n\r\n', false, 'ERR_NO_PROXY_HEADER'],
    [`PROXY UNKNOWN ${'x'.repeat(200)}`, false, 'ERR_PROXY_HEADER'],
  ] as const) {
    const socket = await client(server.port);
    if (leaves) socket.end(bytes);
    else socket.write(bytes);
    await until(() => server.received.length > 0);
    t.is(server.received.pop()?.error, expected, bytes);
    await until(() => server.sockets.size === 0);
    socket.destroy();
  }
});
