import {createSocket, type Socket} from 'node:dgram';
import {once} from 'node:events';
import {constants, open} from 'node:fs/promises';
import {join} from 'node:path';
import test from 'ava';
import type {LogTarget} from '../../../src/config/proxy-value.ts';
import {run, startDaemon} from '../../../src/core/command.ts';
import {mkfifo} from '../../../src/core/libc.ts';
import {openDescriptorSink} from '../../../src/edge/logs/log-sinks.ts';
import {openSessionLog} from '../../../src/edge/logs/session-log.ts';
import {temporaryDirectory} from '../../helpers/temporary-directory.ts';
import {until} from '../../helpers/until.ts';

async function udpReceiver(): Promise<{lines: string[]; port: number} & AsyncDisposable> {
  const socket: Socket = createSocket('udp4');
  const lines: string[] = [];
  socket.on('message', (message) => lines.push(message.toString('latin1')));
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  return {lines, port: socket.address().port, [Symbol.asyncDispose]: () => new Promise((resolve) => socket.close(() => resolve()))};
}

function target(port: number, changes: Partial<LogTarget> = {}): LogTarget {
  return {
    to: {kind: 'udp', host: '127.0.0.1', port},
    format: 'local',
    facility: 'local0',
    level: 'debug',
    minLevel: 'emerg',
    maxLineBytes: 1024,
    sample: null,
    ...changes,
  };
}

const atMs = Date.UTC(2026, 10, 8, 10, 50, 42, 174);
const local = new Date(atMs);
const clock = [local.getHours(), local.getMinutes(), local.getSeconds()].map((part) => String(part).padStart(2, '0')).join(':');
const isoDate = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.174000[+-]\d\d:\d\d$/;

test('each format has the header that syslog daemons expect', async (t) => {
  await using receiver = await udpReceiver();
  const formats = ['local', 'rfc3164', 'rfc5424', 'priority', 'short', 'timed', 'iso', 'raw'] as const;
  const targets = formats.map((format) => target(receiver.port, {format}));
  await using log = await openSessionLog({targets, tag: 'tag', hostname: 'gate', now: () => atMs});
  log.write('message', 'info');
  await until(() => receiver.lines.length === formats.length, {what: 'all lines'});
  const line = (index: number): string => receiver.lines[index] ?? '';
  t.is(line(0), `<134>Nov  8 ${clock} tag[${process.pid}]: message\n`);
  t.is(line(1), `<134>Nov  8 ${clock} gate tag[${process.pid}]: message\n`);
  t.regex(line(2).split(' ')[1] ?? '', isoDate);
  t.is(line(2).replace(/^(\S+) \S+/, '$1'), `<134>1 gate tag ${process.pid} - - message\n`);
  t.is(line(3), '<134>message\n');
  t.is(line(4), '<6>message\n');
  t.regex(line(5), /^<6>2026-\S+ message\n$/);
  t.regex(line(6).split(' ')[0] ?? '', isoDate);
  t.is(line(7), 'message\n');
});

test('levels filter and soften, lines are cut, and a line stays one', async (t) => {
  await using receiver = await udpReceiver();
  const targets = [
    target(receiver.port, {format: 'short', level: 'warning', minLevel: 'err'}),
    target(receiver.port, {format: 'raw', level: 'info', maxLineBytes: 10}),
  ];
  await using log = await openSessionLog({targets, tag: 'tag', hostname: null});
  log.write('for nobody', 'debug');
  log.write('short\r\nline', 'info');
  log.write('bad', 'emerg');
  await until(() => receiver.lines.length === 3, {what: 'three lines'});
  t.deepEqual(receiver.lines.toSorted(), ['<3>bad\n', 'bad\n', 'short#0D#0\n']);
  t.is(log.dropped, 0);
});

test('of a sample only the lines with its numbers are sent', async (t) => {
  await using receiver = await udpReceiver();
  await using log = await openSessionLog({targets: [target(receiver.port, {format: 'raw', sample: {of: 4, numbers: [1, 3]}})], tag: 'tag', hostname: null});
  for (let line = 1; line <= 9; line++) log.write(String(line), 'info');
  await until(() => receiver.lines.length >= 5);
  t.deepEqual(receiver.lines, ['1\n', '3\n', '5\n', '7\n', '9\n']);
});

test('a datagram socket such as /dev/log gets lines, and lines that nobody takes are counted', async (t) => {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, 'log');
  const to = {kind: 'unix', path} as const;
  await using log = await openSessionLog({targets: [target(0, {to, format: 'priority'})], tag: 'tag', hostname: null});
  log.write('too early', 'info');
  t.is(log.dropped, 1);
  await using receiver = await startDaemon(['socat', '-u', `UNIX-RECV:${path}`, `OPEN:${join(directory.path, 'out')},creat`], {stdio: 'ignore'});
  t.truthy(receiver.pid);
  await until(async () => {
    const before = log.dropped;
    log.write('heard', 'err');
    return log.dropped === before && (await run(['cat', join(directory.path, 'out')], {timeoutMs: 5000})).stdout.startsWith('<131>heard\n');
  });
});

test('a reader that does not read costs lines, not time', async (t) => {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, 'pipe');
  mkfifo(path, 0o600);
  await using file = await open(path, constants.O_RDWR);
  const sink = openDescriptorSink(file.fd);
  const started = performance.now();
  for (let count = 0; count < 10_000; count++) sink.write(Buffer.from(`${'x'.repeat(100)}\n`));
  t.true(performance.now() - started < 2000);
  t.true(sink.dropped > 5000);
  // Reading lets the rest through.
  const buffer = Buffer.alloc(1 << 20);
  const received = {bytes: 0};
  const wanted = (10_000 - sink.dropped) * 101;
  await until(async () => {
    received.bytes += (await file.read(buffer)).bytesRead;
    return received.bytes >= wanted;
  });
  t.is(received.bytes, wanted);
  await sink[Symbol.asyncDispose]();
});

test('what was written last is sent before a log is closed', async (t) => {
  await using receiver = await udpReceiver();
  {
    await using log = await openSessionLog({targets: [target(receiver.port, {format: 'raw'})], tag: 'tag', hostname: null});
    for (let count = 0; count < 50; count++) log.write(`line ${count}`, 'info');
  }
  await until(() => receiver.lines.length === 50, {what: 'all lines'});
  t.is(receiver.lines.at(-1), 'line 49\n');
});

test('targets that cannot be are refused when they are opened', async (t) => {
  const bad = (changes: Partial<LogTarget>): Promise<unknown> => openSessionLog({targets: [target(9, changes)], tag: 't', hostname: null});
  await t.throwsAsync(bad({facility: 'local9'}), {code: 'ERR_LOG_TARGET', message: 'Cannot log to facility "local9": there is no such one'});
  await t.throwsAsync(bad({level: 'loud'}), {code: 'ERR_LOG_TARGET', message: /level "loud"/});
  await t.throwsAsync(bad({to: {kind: 'unix', path: `/${'x'.repeat(120)}`}}), {code: 'ERR_LOG_TARGET', message: /107 bytes/});
});
