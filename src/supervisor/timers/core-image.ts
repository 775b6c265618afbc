/** The timers and registers in CRIU's `core-*.img`, of one thread, and its image of clocks; images/core.proto, core-x86.proto and timer.proto of CRIU have the numbers. */
import {CodedError} from '../../core/errors.ts';
import {messageIn, readFields, varintIn, type WireField, writeFields} from './wire.ts';

export interface CoreImage {
  /** Null: the thread was in no system call that waits, or this is another machine than an x86-64. */
  readonly call: InterruptedCall | null;
  /** The thread did not wait for anything; false as well where that is not known. */
  readonly atWork: boolean;
  /** Of the process, in the image of its first thread: ITIMER_REAL. The others count processor time. Null: not set. */
  readonly interval: TimerValue | null;
  readonly posix: readonly (TimerValue & {readonly id: number; readonly clock: number})[];
}

export interface InterruptedCall {
  readonly number: number;
  readonly args: readonly bigint[];
}

export interface TimerValue {
  readonly leftMs: number;
  /** 0: once. */
  readonly everyMs: number;
}

/** Two magic numbers, then the message with its length before it. */
const headerBytes = 8;
const field = {threadInfo: 2, registers: 2, task: 3, timers: 7, real: 1, posix: 4} as const;
const register = {r10: 8, r9: 9, r8: 10, ax: 11, dx: 13, si: 14, di: 15, originalAx: 16, ip: 17, mode: 28} as const;
const interval = {everySeconds: 1, everyMicroseconds: 2, seconds: 3, microseconds: 4} as const;
const posix = {id: 1, clock: 2, everySeconds: 7, everyNanoseconds: 8, seconds: 9, nanoseconds: 10} as const;
const compatible = 2n;
const interrupted = BigInt.asUintN(64, -4n); // EINTR

/** @throws CodedError ERR_CRIU_IMAGE */
export function readCore(image: Buffer): CoreImage {
  const core = readFields(messageOf(image));
  const timers = messageIn(messageIn(core, field.task), field.timers);
  const registers = messageIn(messageIn(core, field.threadInfo), field.registers);
  const call = callOf(registers);
  return {
    call,
    atWork: call === null && registers.length > 0 && varintIn(registers, register.mode) !== compatible,
    interval: intervalOf(messageIn(timers, field.real)),
    posix: timers.flatMap((timer) => (timer.number === field.posix && timer.kind === 'bytes' ? posixOf(readFields(timer.value)) : [])),
  };
}

function messageOf(image: Buffer): Buffer {
  const length = image.length < headerBytes + 4 ? -1 : image.readUInt32LE(headerBytes);
  const message = image.subarray(headerBytes + 4, headerBytes + 4 + length);
  if (message.length === length) return message;
  throw new CodedError('ERR_CRIU_IMAGE', `Cannot read core image: found ${image.length} bytes`, {source: 'host'});
}

/** CRIU makes a call that can go on begin again, by the registers; the others are left with EINTR as their result. */
function callOf(registers: readonly WireField[]): InterruptedCall | null {
  const number = varintIn(registers, register.originalAx);
  const result = varintIn(registers, register.ax);
  if (number === undefined || varintIn(registers, register.mode) === compatible) return null;
  if (BigInt.asIntN(64, number) < 0n || (result !== number && result !== interrupted)) return null;
  const {di, si, dx, r10, r8, r9} = register;
  return {number: Number(number), args: [di, si, dx, r10, r8, r9].map((name) => varintIn(registers, name) ?? 0n)};
}

function intervalOf(timer: readonly WireField[]): TimerValue | null {
  const {everySeconds, everyMicroseconds, seconds, microseconds} = interval;
  return timerOf(timeIn(timer, seconds, microseconds, 1000), timeIn(timer, everySeconds, everyMicroseconds, 1000));
}

function posixOf(timer: readonly WireField[]): CoreImage['posix'] {
  const {everySeconds, everyNanoseconds, seconds, nanoseconds} = posix;
  const value = timerOf(timeIn(timer, seconds, nanoseconds, 1_000_000), timeIn(timer, everySeconds, everyNanoseconds, 1_000_000));
  if (value === null) return [];
  return [{...value, id: Number(varintIn(timer, posix.id) ?? 0n), clock: Number(BigInt.asIntN(32, varintIn(timer, posix.clock) ?? 0n))}];
}

/** One that is about to expire has nothing left, and is restored with its whole period. */
function timerOf(leftMs: number, everyMs: number): TimerValue | null {
  return leftMs === 0 && everyMs === 0 ? null : {leftMs, everyMs};
}

function timeIn(timer: readonly WireField[], seconds: number, fraction: number, fractionsPerMs: number): number {
  return Number(varintIn(timer, seconds) ?? 0n) * 1000 + Number(varintIn(timer, fraction) ?? 0n) / fractionsPerMs;
}

/** What x86-64 takes to enter the kernel. */
const syscallBytes = 2n;

/**
 * The image with a sleep for some time that begins again with what is left, which the kernel has written where the call wants it. Null: the thread
 * was in none, or it does not want to know. @throws CodedError ERR_CRIU_IMAGE
 */
export function continueSleep(image: Buffer): Buffer | null {
  const core = readFields(messageOf(image));
  const registers = messageIn(messageIn(core, field.threadInfo), field.registers);
  const call = callOf(registers);
  const left = call === null || varintIn(registers, register.ax) !== interrupted ? null : leftOf(call);
  if (call === null || left === null) return null;
  const ip = (varintIn(registers, register.ip) ?? 0n) - syscallBytes;
  const changes = new Map<number, bigint>([[register.ax, BigInt(call.number)], [register.ip, ip], left]);
  const change = (one: WireField): WireField => (one.kind === 'varint' ? {...one, value: changes.get(one.number) ?? one.value} : one);
  const info = (fields: readonly WireField[]): readonly WireField[] => within(fields, field.registers, (inner) => inner.map(change));
  return imageWith(image, within(core, field.threadInfo, info));
}

/** The register that says how long, and where what is left stands. */
function leftOf({number, args: [first = 0n, second = 0n, , fourth = 0n]}: InterruptedCall): readonly [number, bigint] | null {
  const [nanosleep, clockNanosleep, absolute] = [35, 230, 1n];
  if (number === nanosleep) return second === 0n ? null : [register.di, second];
  if (number !== clockNanosleep || first < 0n || (second & absolute) !== 0n) return null;
  return fourth === 0n ? null : [register.dx, fourth];
}

export interface CoreChanges {
  readonly intervalLeftMs?: number;
  /** By the number of the timer. */
  readonly posixLeftMs: ReadonlyMap<number, number>;
}

/** The image with other times left, each more than 0. @throws CodedError ERR_CRIU_IMAGE */
export function changeCore(image: Buffer, {intervalLeftMs, posixLeftMs}: CoreChanges): Buffer {
  const core = readFields(messageOf(image));
  const changed = within(core, field.task, (task) =>
    within(task, field.timers, (timers) => {
      const others = within(timers, field.posix, (timer) => {
        const leftMs = posixLeftMs.get(Number(varintIn(timer, posix.id) ?? 0n));
        return leftMs === undefined ? timer : withTime(timer, {number: posix.seconds, fraction: posix.nanoseconds}, leftMs, 1_000_000);
      });
      return intervalLeftMs === undefined
        ? others
        : within(others, field.real, (timer) => withTime(timer, {number: interval.seconds, fraction: interval.microseconds}, intervalLeftMs, 1000));
    }),
  );
  return imageWith(image, changed);
}

function imageWith(image: Buffer, fields: readonly WireField[]): Buffer {
  const message = writeFields(fields);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(message.length);
  return Buffer.concat([image.subarray(0, headerBytes), length, message]);
}

/** `timens-*.img`; images/timens.proto of CRIU. */
const clock = {monotonic: 1, boottime: 2, seconds: 1, nanoseconds: 2} as const;

/** What the app's clocks showed when it fell asleep, nanoseconds. */
export interface Clocks {
  readonly monotonic: bigint;
  readonly boottime: bigint;
}

/** @throws CodedError ERR_CRIU_IMAGE */
export function readClocks(image: Buffer): Clocks {
  const clocks = readFields(messageOf(image));
  const time = (number: number): bigint => {
    const fields = messageIn(clocks, number);
    return (varintIn(fields, clock.seconds) ?? 0n) * 1_000_000_000n + (varintIn(fields, clock.nanoseconds) ?? 0n);
  };
  return {monotonic: time(clock.monotonic), boottime: time(clock.boottime)};
}

/** The image with both clocks put forward. @throws CodedError ERR_CRIU_IMAGE */
export function changeClocks(image: Buffer, forwardMs: number): Buffer {
  const forward = (time: readonly WireField[]): readonly WireField[] =>
    withTime(time, {number: clock.seconds, fraction: clock.nanoseconds}, timeIn(time, clock.seconds, clock.nanoseconds, 1_000_000) + forwardMs, 1_000_000);
  return imageWith(image, within(within(readFields(messageOf(image)), clock.monotonic, forward), clock.boottime, forward));
}

/** Each message of that number, changed. */
function within(fields: readonly WireField[], number: number, change: (inner: readonly WireField[]) => readonly WireField[]): readonly WireField[] {
  return fields.map((one) => (one.number === number && one.kind === 'bytes' ? {...one, value: writeFields(change(readFields(one.value)))} : one));
}

function withTime(timer: readonly WireField[], place: {number: number; fraction: number}, leftMs: number, fractionsPerMs: number): readonly WireField[] {
  const fractions = Math.max(1, Math.round(leftMs * fractionsPerMs));
  const perSecond = fractionsPerMs * 1000;
  return timer.map((one) => {
    if (one.kind !== 'varint') return one;
    if (one.number === place.number) return {...one, value: BigInt(Math.floor(fractions / perSecond))};
    return one.number === place.fraction ? {...one, value: BigInt(fractions % perSecond)} : one;
  });
}
