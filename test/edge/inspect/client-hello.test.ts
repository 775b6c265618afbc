import {once} from 'node:events';
import {type AddressInfo, connect, createServer, type Socket} from 'node:net';
import {join} from 'node:path';
import {type ConnectionOptions, connect as connectTls} from 'node:tls';
import test from 'ava';
import {maxClientHelloBytes, parseClientHello} from '../../../src/edge/inspect/client-hello.ts';
import {receiveProxyHeader} from '../../../src/edge/proxy-protocol/receive-proxy-header.ts';
import {fc} from '../../helpers/properties.ts';
import {temporaryDirectory} from '../../helpers/temporary-directory.ts';
import {startHaproxy} from '../haproxy.ts';

/** What Node's client sends first. */
async function helloOf(options: ConnectionOptions): Promise<Buffer> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = connectTls({port: (server.address() as AddressInfo).port, host: '127.0.0.1', ...options});
  client.on('error', () => {
    // Nobody answers it.
  });
  const [socket] = (await once(server, 'connection')) as [Socket];
  const [bytes] = (await once(socket, 'data')) as [Buffer];
  client.destroy();
  socket.destroy();
  server.close();
  return bytes;
}

const sizes = (value: number, bytes: number): number[] => Array.from({length: bytes}, (_, index) => (value >> (8 * (bytes - 1 - index))) & 255);
const vector = (lengthBytes: number, ...content: number[]): number[] => [...sizes(content.length, lengthBytes), ...content];
const extension = (type: number, ...content: number[]): number[] => [...sizes(type, 2), ...vector(2, ...content)];
const ascii = (text: string): number[] => [...Buffer.from(text, 'latin1')];
const sni = (...names: string[]): number[] => extension(0, ...vector(2, ...names.flatMap((name) => [0, ...vector(2, ...ascii(name))])));
const record = (...content: number[]): number[] => [22, 3, 1, ...vector(2, ...content)];
/** A message; its body after the compression methods is given. */
const message = (...tail: number[]): number[] => [1, ...vector(3, 3, 3, ...Array<number>(32).fill(7), 0, ...vector(2, 0x13, 0x01), ...vector(1, 0), ...tail)];
const read = (bytes: readonly number[]) => parseClientHello(Uint8Array.from(bytes));
const plain = {kind: 'complete', sni: null, alpn: [], version: 0x30003, legacyVersion: 0x30003, recordVersion: 0x30001} as const;

for (const [title, bytes, expected] of [
  ['without extensions', record(...message()), plain],
  ['with an empty list of them', record(...message(...vector(2))), plain],
  ['a name', record(...message(...vector(2, ...sni('A.test')))), {...plain, sni: 'A.test'}],
  ['what follows does not matter', [...record(...message(...vector(2, ...sni('a.test')))), 1, 2, 3], {...plain, sni: 'a.test'}],
  [
    'versions, one of them to be ignored',
    record(...message(...vector(2, ...extension(43, ...vector(1, 0x7a, 0x7a, 3, 3, 3, 4))))),
    {...plain, version: 0x30004},
  ],
  ['unknown versions only', record(...message(...vector(2, ...extension(43, ...vector(1, 0x7a, 0x7a))))), plain],
  [
    'protocols',
    record(...message(...vector(2, ...extension(16, ...vector(2, ...vector(1, ...ascii('h2')), ...vector(1, ...ascii('x'))))))),
    {...plain, alpn: ['h2', 'x']},
  ],
  ['nothing', [], {kind: 'incomplete'}],
  ['a record of another type', [23], {kind: 'none'}],
  ['text', ascii('GET / HTTP/1.1\r\n'), {kind: 'none'}],
  ['SSL 2', [0x80, 0x2e, 1, 0, 2], {kind: 'none'}],
  ['another message', record(2, 0, 0, 0), {kind: 'none'}],
  ['an empty record', record(), {kind: 'none'}],
  ['a record that is too long', [22, 3, 1, 0x40, 1], {kind: 'none'}],
  ['a message that is too long', record(1, 0, 0x50, 0), {kind: 'none'}],
  ['two names', record(...message(...vector(2, ...sni('a.test', 'b.test')))), {kind: 'none'}],
  ['the extension twice', record(...message(...vector(2, ...sni('a.test'), ...sni('b.test')))), {kind: 'none'}],
  ['an empty name', record(...message(...vector(2, ...sni('')))), {kind: 'none'}],
  ['a name with a zero in it', record(...message(...vector(2, ...sni('a.test\0.evil')))), {kind: 'none'}],
  ['a name of 300 bytes', record(...message(...vector(2, ...sni('a'.repeat(300))))), {kind: 'none'}],
  ['bytes after the extensions', record(...message(...vector(2), 0)), {kind: 'none'}],
  ['half an extension', record(...message(...vector(2, 0, 0, 0))), {kind: 'none'}],
] as const) {
  test(`a hello: ${title}`, (t) => {
    t.deepEqual(read(bytes), expected);
  });
}

test('a hello in any number of records and segments', (t) => {
  const whole = message(...vector(2, ...sni('a.test'), ...extension(21, ...Array<number>(500).fill(0))));
  fc.assert(
    fc.property(fc.array(fc.integer({min: 1, max: 200}), {maxLength: 30}), (cuts) => {
      const records: number[] = [];
      let at = 0;
      for (const cut of [...cuts, whole.length]) {
        if (at < whole.length) records.push(...record(...whole.slice(at, at + cut)));
        at += cut;
      }
      for (let cut = 0; cut < records.length; cut++) t.deepEqual(read(records.slice(0, cut)), {kind: 'incomplete'});
      t.deepEqual(read(records), {...plain, sni: 'a.test'});
    }),
    {numRuns: 20},
  );
});

test('no more is waited for than the bound, however it is cut', (t) => {
  const long = message(...vector(2, ...extension(21, ...Array<number>(16_000).fill(0))));
  const cut = (size: number): number[] =>
    Array.from({length: Math.ceil(long.length / size)}, (_, index) => record(...long.slice(index * size, (index + 1) * size))).flat();
  t.is(read(cut(8000)).kind, 'complete');
  t.is(read(cut(1).slice(0, maxClientHelloBytes)).kind, 'none');
});

test('a changed hello is read or refused', async (t) => {
  const hello = await helloOf({servername: 'a.test', ALPNProtocols: ['h2', 'http/1.1']});
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat({max: hello.length - 1}), fc.integer({min: 0, max: 255})), {minLength: 1, maxLength: 4}),
      fc.nat({max: hello.length}),
      (changes, size) => {
        const bytes = Uint8Array.from(hello.subarray(0, size));
        for (const [at, value] of changes) if (at < size) bytes[at] = value;
        const reading = parseClientHello(bytes);
        if (reading.kind === 'complete') t.true(reading.sni === null || /^[!-~]+$/.test(reading.sni));
      },
    ),
    {numRuns: 3000},
  );
  t.pass();
});

test('HAProxy reads the same', async (t) => {
  await using directory = await temporaryDirectory();
  const at = (name: string): string => join(directory.path, name);
  const told: string[] = [];
  const server = createServer((socket) => {
    receiveProxyHeader(socket, {timeoutMs: 5000}).then(
      ({header: {uniqueId}}) => {
        told.push(Buffer.from(uniqueId ?? []).toString());
        socket.end('done');
      },
      () => socket.destroy(),
    );
  });
  await using cleanup = new AsyncDisposableStack();
  cleanup.defer(() => void server.close());
  server.listen(at('back'));
  await once(server, 'listening');
  const configuration = `frontend f
  bind unix@${at('front')} accept-proxy
  tcp-request inspect-delay 5s
  tcp-request content set-var(sess.sni) req.ssl_sni
  tcp-request content set-var(sess.ver) req.ssl_ver
  tcp-request content set-var(sess.alpn) req.ssl_alpn
  tcp-request content accept if { req.ssl_hello_type 1 }
  unique-id-format "%[var(sess.sni)]|%[var(sess.ver)]|%[var(sess.alpn)]"
  default_backend b
backend b
  server s unix@${at('back')} send-proxy-v2 proxy-v2-options unique-id`;
  await using _haproxy = await startHaproxy(directory.path, configuration, at('front'));
  for (const options of [
    {servername: 'www.A.test', ALPNProtocols: ['h2', 'http/1.1']},
    {servername: 'b.test', maxVersion: 'TLSv1.2'},
    {maxVersion: 'TLSv1.2'},
    {minVersion: 'TLSv1.3', servername: 'c.test'},
    {minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT:@SECLEVEL=0', servername: 'd.test'},
  ] as const satisfies ConnectionOptions[] as ConnectionOptions[]) {
    const hello = await helloOf(options);
    const socket = connect({path: at('front')});
    // Of a client without addresses HAProxy would tell nothing.
    socket.end(Buffer.concat([Buffer.from('PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n'), hello]));
    await once(socket.resume(), 'close');
    const reading = parseClientHello(hello);
    t.is(reading.kind, 'complete');
    if (reading.kind !== 'complete') continue;
    t.deepEqual(told.pop()?.split('|'), [reading.sni ?? '', String(reading.legacyVersion), reading.alpn[0] ?? '']);
  }
});
