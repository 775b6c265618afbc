/** What an app waits for, as it is read from system calls, images of CRIU and /proc. */
import test from 'ava';
import {startDaemon} from '../../src/core/command.ts';
import {type AppTimer, firstDue} from '../../src/supervisor/timers/app-timer.ts';
import {changeClocks, changeCore, continueSleep, readCore} from '../../src/supervisor/timers/core-image.ts';
import {ThreadWatch} from '../../src/supervisor/timers/thread-watch.ts';
import {sleepOf} from '../../src/supervisor/timers/threads.ts';
import {parseTimerfd} from '../../src/supervisor/timers/timerfd.ts';
import {parseSyscall, type Waiting, waitingIn} from '../../src/supervisor/timers/waiting-call.ts';
import {messageIn, readFields, varintIn, type WireField, writeFields} from '../../src/supervisor/timers/wire.ts';
import {rootTest} from '../helpers/root-test.ts';
import {until} from '../helpers/until.ts';

const forever = 0xffffffffn;
const inMemory = (call: string, address: bigint, rest: Partial<Extract<Waiting, {kind: 'in memory'}>> = {}): Waiting => ({
  kind: 'in memory',
  call,
  address,
  unit: 'timespec',
  until: null,
  left: null,
  ...rest,
});
const calls: readonly (readonly [what: string, number: number, args: readonly bigint[], waiting: Waiting | undefined])[] = [
  ['read', 0, [3n, 1n, 1n], undefined],
  ['poll', 7, [1n, 1n, 5000n], {kind: 'for', call: 'poll', ms: 5000}],
  ['poll without an end', 7, [1n, 1n, forever], undefined],
  ['poll without an end, sign-extended', 7, [1n, 1n, 0xffffffffffffffffn], undefined],
  ['poll with rubbish above its 32 bits', 7, [1n, 1n, 0x7700000010n], {kind: 'for', call: 'poll', ms: 16}],
  ['epoll_wait', 232, [5n, 1n, 64n, 250n], {kind: 'for', call: 'epoll_wait', ms: 250}],
  ['epoll_pwait', 281, [5n, 1n, 64n, 250n, 0n, 8n], {kind: 'for', call: 'epoll_pwait', ms: 250}],
  ['epoll_pwait without an end', 281, [5n, 1n, 64n, forever, 0n, 8n], undefined],
  ['epoll_pwait2', 441, [5n, 1n, 64n, 9n, 0n, 8n], inMemory('epoll_pwait2', 9n)],
  ['select', 23, [0n, 0n, 0n, 0n, 9n], inMemory('select', 9n, {unit: 'timeval', left: 9n})],
  ['select without an end', 23, [1n, 1n, 0n, 0n, 0n], undefined],
  ['pselect6', 270, [0n, 0n, 0n, 0n, 9n, 1n], inMemory('pselect6', 9n, {left: 9n})],
  ['ppoll', 271, [1n, 1n, 9n, 0n, 8n], inMemory('ppoll', 9n, {left: 9n})],
  ['nanosleep', 35, [9n, 8n], inMemory('nanosleep', 9n, {left: 8n})],
  ['nanosleep that tells nobody', 35, [9n, 0n], inMemory('nanosleep', 9n)],
  ['clock_nanosleep', 230, [1n, 0n, 9n, 8n], inMemory('clock_nanosleep', 9n, {left: 8n})],
  ['clock_nanosleep until', 230, [1n, 1n, 9n, 8n], inMemory('clock_nanosleep', 9n, {until: 'monotonic'})],
  ['clock_nanosleep until a time of day', 230, [0n, 1n, 9n, 0n], inMemory('clock_nanosleep', 9n, {until: 'realtime'})],
  ['clock_nanosleep of processor time', 230, [2n, 0n, 9n, 0n], undefined],
  ['futex wait', 202, [1n, 128n, 0n, 9n], inMemory('futex', 9n)],
  ['futex wait without an end', 202, [1n, 128n, 0n, 0n], undefined],
  ['futex wait until', 202, [1n, 137n, 0n, 9n, 0n, forever], inMemory('futex', 9n, {until: 'monotonic'})],
  ['futex wait until a time of day', 202, [1n, 393n, 0n, 9n, 0n, forever], inMemory('futex', 9n, {until: 'realtime'})],
  ['futex lock', 202, [1n, 134n, 0n, 9n], inMemory('futex', 9n, {until: 'realtime'})],
  ['futex wake, whose fourth argument is a number', 202, [1n, 129n, 1n, 9n], undefined],
  ['futex_waitv', 449, [1n, 1n, 0n, 9n, 1n], inMemory('futex_waitv', 9n, {until: 'monotonic'})],
];
for (const [what, number, args, waiting] of calls) {
  test(`waitingIn() knows the time in ${what}`, (t) => t.deepEqual(waitingIn(number, args), waiting));
}

test('parseSyscall() reads what the kernel says of a thread', (t) => {
  const line = '232 0x5 0x7ffc00 0x40 0xfa 0x0 0x8 0x7ffd10 0x7f10\n';
  t.deepEqual(parseSyscall(line), {number: 232, args: [5n, 0x7ffc00n, 0x40n, 0xfan, 0n, 8n]});
  for (const other of ['running\n', '-1 0x7ffd10 0x7f10\n', '']) t.is(parseSyscall(other), undefined);
});

test('parseTimerfd() reads what /proc says of one', (t) => {
  const info = (value: string): string =>
    `pos:\t0\nflags:\t02004002\nmnt_id:\t15\nino:\t2060\nclockid: 7\nticks: 0\nsettime flags: 03\nit_value: ${value}\nit_interval: (1, 500000000)\n`;
  t.deepEqual(parseTimerfd(info('(12, 34000000)')), {clock: 7, flags: 3, leftMs: 12_034, everyMs: 1500});
  t.is(parseTimerfd(info('(0, 0)')), undefined);
  t.is(parseTimerfd(''), undefined);
});

const timer = (at: number, everyMs = 0): AppTimer => ({at, everyMs, what: `${at}/${everyMs}`, process: 1, place: {kind: 'call'}});
const work: AppTimer = {...timer(1000), place: {kind: 'work'}};
const due: readonly (readonly [timers: readonly AppTimer[], minMs: number, at: number | null])[] = [
  [[], 0, null],
  [[timer(5000), timer(3000)], 0, 3000],
  [[timer(5000), timer(3000)], 2000, 3000],
  [[timer(5000), timer(3000)], 2001, 5000],
  [[timer(3000)], 60_000, null],
  // A period that is too short does not count, whenever it comes next.
  [[timer(90_000, 1000)], 60_000, null],
  [[timer(90_000, 1000)], 0, 90_000],
  // One that is long enough counts from the first time that is far enough.
  [[timer(3000, 60_000)], 60_000, 63_000],
  [[timer(500, 60_000)], 60_000, 120_500],
  [[timer(90_000), work], 60_000, 1000],
];
for (const [timers, minMs, at] of due) {
  test(`firstDue() of ${timers.map(({what}) => what).join(', ') || 'none'} with min ${minMs} is ${at}`, (t) => {
    t.is(firstDue({at: 1000, timers}, minMs)?.at ?? null, at);
  });
}

const varint = (number: number, value: bigint): WireField => ({kind: 'varint', number, value});
const message = (number: number, ...fields: readonly WireField[]): WireField => ({kind: 'bytes', number, value: writeFields(fields)});
const image = (...fields: readonly WireField[]): Buffer => {
  const body = writeFields(fields);
  const head = Buffer.from([1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0]);
  head.writeUInt32LE(body.length, 8);
  return Buffer.concat([head, body]);
};
const posixTimer = (id: bigint, clock: bigint, seconds: bigint, nanoseconds: bigint): WireField =>
  message(4, varint(1, id), varint(2, clock), varint(5, 0xffffffffffffffffn), varint(7, 0n), varint(8, 0n), varint(9, seconds), varint(10, nanoseconds));
const none = [varint(1, 0n), varint(2, 0n), varint(3, 0n), varint(4, 0n)];
/** With fields that are not looked at, before and after. */
const core = (call: bigint, result: bigint, {flags = 2n}: {flags?: bigint} = {}): Buffer =>
  image(
    varint(1, 1n),
    message(
      2,
      varint(1, 7n),
      message(
        2,
        varint(8, 4n),
        varint(9, 6n),
        varint(10, 5n),
        varint(11, result),
        varint(13, 3n),
        varint(14, flags),
        varint(15, 1n),
        varint(16, call),
        varint(17, 4096n),
      ),
    ),
    message(
      3,
      varint(1, 1n),
      {kind: 'bytes', number: 6, value: Buffer.from('python3')},
      message(
        7,
        message(1, varint(1, 2n), varint(2, 500_000n), varint(3, 1n), varint(4, 250_000n)),
        message(2, ...none),
        message(3, ...none),
        posixTimer(0n, 1n, 30n, 0n),
        posixTimer(3n, 0xfffffffen, 9n, 0n),
      ),
      {kind: 'fixed', number: 30, value: Buffer.alloc(8, 1)},
    ),
    {kind: 'fixed', number: 31, value: Buffer.alloc(4, 2)},
  );
const minusOne = 0xffffffffffffffffn;
const interrupted = BigInt.asUintN(64, -4n);

test('readCore() finds the call of a thread, and the timers of its process', (t) => {
  const call = {number: 232, args: [1n, 2n, 3n, 4n, 5n, 6n]};
  t.deepEqual(readCore(core(232n, interrupted)), {
    call,
    atWork: false,
    interval: {leftMs: 1250, everyMs: 2500},
    posix: [
      {leftMs: 30_000, everyMs: 0, id: 0, clock: 1},
      {leftMs: 9000, everyMs: 0, id: 3, clock: -2},
    ],
  });
  t.deepEqual(readCore(core(232n, 232n)).call, call, 'it begins again');
  t.like(readCore(core(232n, 1n)), {call: null, atWork: true}, 'it has ended');
  t.like(readCore(core(minusOne, 0n)), {call: null, atWork: true}, 'there was none');
  t.deepEqual(readCore(image(message(3, message(7, message(1, ...none))))), {call: null, atWork: false, interval: null, posix: []});
  for (const damaged of [Buffer.alloc(3), core(1n, 1n).subarray(0, 40), image({kind: 'bytes', number: 3, value: Buffer.from([0xff])})]) {
    t.throws(() => readCore(damaged), {code: 'ERR_CRIU_IMAGE'});
  }
});

test('continueSleep() has a sleep begin again with what is left of it, and changes nothing else', (t) => {
  const registers = (of: Buffer | null): unknown => {
    const fields = messageIn(messageIn(readFields((of ?? Buffer.alloc(12)).subarray(12)), 2), 2);
    return fields.map(({number, value}) => [number, value]);
  };
  const sleeping = (number: bigint, ax: bigint, changed: Readonly<Record<number, bigint>> = {}): unknown => {
    const before = registers(core(number, ax)) as [number, bigint][];
    return before.map(([register, value]) => [register, changed[register] ?? value]);
  };
  // nanosleep(di, si), clock_nanosleep(di, si, dx, r10): ax is 11, ip is 17, which points behind the call.
  t.deepEqual(registers(continueSleep(core(35n, interrupted))), sleeping(35n, interrupted, {11: 35n, 17: 4094n, 15: 2n}));
  t.deepEqual(registers(continueSleep(core(230n, interrupted, {flags: 0n}))), [
    [8, 4n],
    [9, 6n],
    [10, 5n],
    [11, 230n],
    [13, 4n],
    [14, 0n],
    [15, 1n],
    [16, 230n],
    [17, 4094n],
  ]);
  t.is(continueSleep(core(230n, interrupted, {flags: 1n})), null, 'until a time');
  t.is(continueSleep(core(35n, 35n)), null, 'it begins again by itself');
  t.is(continueSleep(core(232n, interrupted)), null, 'epoll_wait');
  const changed = continueSleep(core(35n, interrupted)) ?? t.fail();
  t.deepEqual({...readCore(changed), call: null}, {...readCore(core(35n, interrupted)), call: null});
});

test('changeCore() changes what is left, and nothing else', (t) => {
  const before = core(232n, 232n);
  t.deepEqual(changeCore(before, {posixLeftMs: new Map()}), before);
  const changed = changeCore(before, {intervalLeftMs: 0.4, posixLeftMs: new Map([[0, 61_000.5]])});
  t.deepEqual(readCore(changed), {
    ...readCore(before),
    interval: {leftMs: 0.4, everyMs: 2500},
    posix: [
      {leftMs: 61_000.5, everyMs: 0, id: 0, clock: 1},
      {leftMs: 9000, everyMs: 0, id: 3, clock: -2},
    ],
  });
  t.deepEqual(changeCore(changed, {intervalLeftMs: 1250, posixLeftMs: new Map([[0, 30_000]])}), before);
});

test('changeClocks() puts both clocks forward', (t) => {
  const clocks = image(message(1, varint(1, 100n), varint(2, 900_000_000n)), message(2, varint(1, 200n), varint(2, 1n)));
  const changed = readFields(changeClocks(clocks, 5200).subarray(12));
  const [monotonic, boottime] = [messageIn(changed, 1), messageIn(changed, 2)];
  t.deepEqual([varintIn(monotonic, 1), varintIn(monotonic, 2), varintIn(boottime, 1), varintIn(boottime, 2)], [106n, 100_000_000n, 205n, 200_000_001n]);
});

rootTest('a thread that sleeps is seen, with what is left to it', async (t) => {
  await using sleeper = await startDaemon(['/usr/bin/python3', '-c', 'import time; time.sleep(100)'], {stdio: 'ignore'});
  const watch = new ThreadWatch();
  const process = {vpid: 7, pid: sleeper.pid};
  const startedMs = Date.now();
  watch.restart(startedMs);
  const look = (): {call: string; sinceMs: number} | undefined => {
    watch.look([process], Date.now());
    return [...watch.threads()][0];
  };
  await until(() => parseSyscall(look()?.call ?? '')?.number === 230, {what: 'its sleep'});
  const sinceMs = look()?.sinceMs ?? 0;
  t.true(sinceMs >= startedMs);
  t.is(look()?.sinceMs, sinceMs, 'it still sleeps');
  const call = parseSyscall(look()?.call ?? '');
  const waiting = waitingIn(call?.number ?? -1, call?.args ?? []);
  if (waiting === undefined) return t.fail('no time is known');
  const found = await sleepOf({process, vtid: 8, waiting, sinceMs, interrupted: false}, Date.now());
  t.is(found?.what, 'clock_nanosleep of thread 8');
  t.true(Math.abs((found?.at ?? 0) - startedMs - 100_000) < 20_000, `${(found?.at ?? 0) - startedMs} ms`);
});
