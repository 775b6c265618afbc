/** System calls in which a thread sleeps until a time: where the time is, by their number and arguments. x86-64 only. */

/** Of CLOCK_*: which way of counting; those of processor time stand still while an app sleeps. */
export type ClockKind = 'realtime' | 'monotonic' | 'boottime';

export type Waiting =
  /** So long from when it began. */
  | {readonly kind: 'for'; readonly call: string; readonly ms: number}
  | {
      readonly kind: 'in memory';
      readonly call: string;
      /** Of a `struct timespec`, or `struct timeval`. */
      readonly address: bigint;
      readonly unit: 'timespec' | 'timeval';
      /** Null: so long from when it began. Else a time of that clock. */
      readonly until: ClockKind | null;
      /** Where the kernel writes what is left when the call is interrupted; it begins again with that, or tells its caller. */
      readonly left: bigint | null;
    };

/** Undefined for one that is no clock of time. */
export function clockKind(clock: number): ClockKind | undefined {
  switch (clock) {
    case 0: // CLOCK_REALTIME
    case 5: // CLOCK_REALTIME_COARSE
    case 8: // CLOCK_REALTIME_ALARM
      return 'realtime';
    case 1: // CLOCK_MONOTONIC
    case 4: // CLOCK_MONOTONIC_RAW
    case 6: // CLOCK_MONOTONIC_COARSE
      return 'monotonic';
    case 7: // CLOCK_BOOTTIME
    case 9: // CLOCK_BOOTTIME_ALARM
      return 'boottime';
    default:
      return undefined;
  }
}

/** Undefined for a call that does not wait, or waits without an end. */
export function waitingIn(number: number, args: readonly bigint[]): Waiting | undefined {
  const [first = 0n, second = 0n, third = 0n, fourth = 0n, fifth = 0n] = args;
  switch (number) {
    case 7:
      return waitsFor('poll', third);
    case 232:
      return waitsFor('epoll_wait', fourth);
    case 281:
      return waitsFor('epoll_pwait', fourth);
    case 441:
      return inMemory('epoll_pwait2', fourth);
    case 23:
      return inMemory('select', fifth, {unit: 'timeval', left: fifth});
    case 270:
      return inMemory('pselect6', fifth, {left: fifth});
    case 271:
      return inMemory('ppoll', third, {left: third});
    case 35:
      return inMemory('nanosleep', first, {left: second});
    case 230:
      return clockNanosleep(Number(BigInt.asIntN(32, first)), second, third, fourth);
    case 202:
      return futex(Number(BigInt.asUintN(32, second)), fourth);
    case 449:
      return waitsUntil('futex_waitv', fourth, Number(BigInt.asIntN(32, fifth)));
    default:
      return undefined;
  }
}

function waitsFor(call: string, argument: bigint): Waiting | undefined {
  const ms = Number(BigInt.asIntN(32, argument));
  return ms < 0 ? undefined : {kind: 'for', call, ms};
}

interface Memory {
  readonly unit?: 'timespec' | 'timeval';
  readonly until?: ClockKind;
  /** 0n: nowhere. */
  readonly left?: bigint;
}

function inMemory(call: string, address: bigint, {unit = 'timespec', until, left = 0n}: Memory = {}): Waiting | undefined {
  return address === 0n ? undefined : {kind: 'in memory', call, address, unit, until: until ?? null, left: left === 0n ? null : left};
}

function waitsUntil(call: string, address: bigint, clock: number): Waiting | undefined {
  const until = clockKind(clock);
  return until === undefined ? undefined : inMemory(call, address, {until});
}

function clockNanosleep(clock: number, flags: bigint, request: bigint, left: bigint): Waiting | undefined {
  const absolute = (flags & 1n) !== 0n;
  if (absolute) return waitsUntil('clock_nanosleep', request, clock);
  return clockKind(clock) === undefined ? undefined : inMemory('clock_nanosleep', request, {left});
}

/** futex(2): only a plain FUTEX_WAIT has a time from now; the operations that lock have one of the real-time clock. */
function futex(operation: number, address: bigint): Waiting | undefined {
  const command = {wait: 0, lockPi: 6, waitBitset: 9, waitRequeuePi: 11, lockPi2: 13} as const;
  const flag = {private: 128, realtime: 256} as const;
  const clock: ClockKind = (operation & flag.realtime) === 0 ? 'monotonic' : 'realtime';
  switch (operation & ~(flag.private | flag.realtime)) {
    case command.wait:
      return inMemory('futex', address);
    case command.waitBitset:
    case command.waitRequeuePi:
    case command.lockPi2:
      return inMemory('futex', address, {until: clock});
    case command.lockPi:
      return inMemory('futex', address, {until: 'realtime'});
    default:
      return undefined;
  }
}

/** A line of /proc/PID/task/TID/syscall. Undefined for a thread that runs, or waits in the kernel without a call. */
export function parseSyscall(line: string): {readonly number: number; readonly args: readonly bigint[]} | undefined {
  const [number = '', ...words] = line.trim().split(' ');
  if (!/^\d+$/.test(number) || words.length < 6) return undefined;
  return {number: Number(number), args: words.slice(0, 6).map((word) => BigInt(word))};
}
