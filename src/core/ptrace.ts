/**
 * System calls that another process makes for us, ptrace(2). It is stopped in the call in which it waits, makes the others from there, and then that
 * call begins again, so it must be one that may. For a process of one thread that nobody else traces, on an x86-64.
 */
import {setImmediate as nextTurn} from 'node:timers/promises';
import koffi from 'koffi';
import {CodedError} from './errors.ts';
import {libc, SystemCallError, waitStatus, yieldProcessor} from './libc.ts';

/** Elsewhere registers and instructions are others. */
export const canLendCalls = process.arch === 'x64';

export interface Lender {
  /** @throws CodedError ERR_PTRACE; SystemCallError, which has `what` */
  call(what: string, number: number, ...args: readonly (number | bigint)[]): Promise<number>;
  /** Where the process has nothing, until the next time. @returns the address. @throws SystemCallError */
  put(data: Buffer): bigint;
}

const ptrace: (request: number, pid: number, address: bigint, data: Buffer | null) => number = libc.func(
  'long ptrace(long request, int pid, unsigned long address, _Inout_ void *data)',
);
const poke: (request: number, pid: number, address: bigint, data: bigint) => number = libc.func(
  'long ptrace(long request, int pid, unsigned long address, unsigned long data)',
);
const requests = {poke: 5, getRegisters: 12, setRegisters: 13, singleStep: 9, detach: 17, seize: 0x4206, interrupt: 0x4207} as const;
type Request = keyof typeof requests;

/** Which 64-bit word of `struct user_regs_struct` (sys/user.h) is which register. */
const word = {r10: 7, r9: 8, r8: 9, ax: 10, dx: 12, si: 13, di: 14, originalAx: 15, ip: 16, sp: 19} as const;
const registersBytes = 27 * 8;
const argumentWords = [word.di, word.si, word.dx, word.r10, word.r8, word.r9] as const;
/** Of the instruction `syscall`. */
const syscallBytes = 2n;
/** ERESTARTSYS and its like (include/linux/errno.h): the kernel is about to begin the call again. */
const restarts: readonly bigint[] = [-512n, -513n, -514n, -516n];
/** Below the stack pointer, and below what a function may use there without saying so (128 bytes, System V ABI). */
const freeStackBytes = 512n;

const waitNoHang = 1;
const waitAll = 0x4000_0000;
const stopTimeoutMs = 1000;
const arrivalTimeoutMs = 200;
const blockingMs = 0.5;
const trap = 5;

/**
 * The process goes on when this resolves. One that is on its way to the call in which it waits is waited for.
 * @throws CodedError ERR_PTRACE, SystemCallError, what `work` throws; a process that did not stop in time may stay stopped
 */
export async function lendCalls<T>(pid: number, work: (lender: Lender) => Promise<T>): Promise<T> {
  for (const untilMs = performance.now() + arrivalTimeoutMs; ; await nextTurn()) {
    using _traced = await stopped(pid);
    const found = Buffer.alloc(registersBytes);
    trace('getRegisters', pid, found);
    if (restarts.includes(found.readBigInt64LE(8 * word.ax))) return await workAt(pid, found, work);
    if (performance.now() > untilMs) throw ptraceError(pid, 'waits in no system call');
  }
}

async function stopped(pid: number): Promise<Disposable> {
  trace('seize', pid);
  using scope = new DisposableStack();
  scope.defer(() => void ptrace(requests.detach, pid, 0n, null));
  trace('interrupt', pid);
  await untilStopped(pid);
  return scope.move();
}

async function workAt<T>(pid: number, found: Buffer, work: (lender: Lender) => Promise<T>): Promise<T> {
  const atCall = withWords(found, [
    [word.ip, found.readBigUInt64LE(8 * word.ip) - syscallBytes],
    [word.ax, found.readBigUInt64LE(8 * word.originalAx)],
    [word.originalAx, -1n],
  ]);
  try {
    return await work(lender(pid, atCall));
  } finally {
    trace('setRegisters', pid, atCall);
  }
}

function lender(pid: number, atCall: Buffer): Lender {
  return {
    async call(what, number, ...args) {
      const values = [number, ...args].map((value, at) => [at === 0 ? word.ax : (argumentWords[at - 1] ?? word.r9), BigInt(value)] as const);
      const registers = withWords(atCall, values);
      trace('setRegisters', pid, registers);
      trace('singleStep', pid);
      await untilStopped(pid);
      trace('getRegisters', pid, registers);
      const result = Number(registers.readBigInt64LE(8 * word.ax));
      if (result < 0) throw new SystemCallError(what, -result, `in process ${pid}`);
      return result;
    },
    put(data) {
      const address = atCall.readBigUInt64LE(8 * word.sp) - freeStackBytes;
      const words = Buffer.concat([data, Buffer.alloc(8)]);
      for (let at = 0; at < data.length; at += 8) {
        if (poke(requests.poke, pid, address + BigInt(at), words.readBigUInt64LE(at)) < 0) throw traceError('poke', pid);
      }
      return address;
    },
  };
}

function withWords(registers: Buffer, values: readonly (readonly [number, bigint])[]): Buffer {
  const changed = Buffer.from(registers);
  for (const [at, value] of values) changed.writeBigUInt64LE(BigInt.asUintN(64, value), 8 * at);
  return changed;
}

function trace(request: Request, pid: number, data: Buffer | null = null): void {
  if (ptrace(requests[request], pid, 0n, data) < 0) throw traceError(request, pid);
}

function traceError(request: Request, pid: number): SystemCallError {
  return new SystemCallError(`trace (${request})`, koffi.errno(), `process ${pid}`);
}

/** Mostly within 0.1 ms, which a turn of the event loop would double; where processors are wanted, others go on meanwhile. */
async function untilStopped(pid: number): Promise<void> {
  const sinceMs = performance.now();
  for (let forMs = 0; forMs < stopTimeoutMs; forMs = performance.now() - sinceMs) {
    const status = waitStatus(pid, waitNoHang | waitAll);
    if (status !== undefined) {
      if ((status & 0xff) === 0x7f && ((status >> 8) & 0xff) === trap) return;
      throw ptraceError(pid, `was stopped or ended otherwise (wait status ${status})`);
    }
    if (forMs < blockingMs) yieldProcessor();
    else await nextTurn();
  }
  throw ptraceError(pid, `did not stop within ${stopTimeoutMs} ms`);
}

function ptraceError(pid: number, found: string): CodedError {
  return new CodedError('ERR_PTRACE', `Process ${pid} ${found}`, {source: 'host', retryable: true});
}
