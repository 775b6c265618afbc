/**
 * The one place that starts other programs. No shell, a fixed locale, a deadline, and the end of standard error kept
 * for the message. A long-lived child has its own process group and is killed by the kernel when this process dies.
 */
import {type ChildProcess, type StdioOptions, spawn} from 'node:child_process';
import {constants} from 'node:os';
import type {Readable} from 'node:stream';
import {CodedError} from './errors.ts';

/** Of what a program says on standard error. */
export const keptOutputBytes = 64 * 1024;
const systemDirectories = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** The system's programs come first: npm puts directories on PATH in which a package's program may have the name of a system's (`nft`). */
export function childEnvironment(environment: Readonly<Record<string, string | undefined>> | undefined): NodeJS.ProcessEnv {
  const base = environment ?? process.env;
  return {...base, LC_ALL: 'C', PATH: `${systemDirectories}:${base['PATH'] ?? ''}`};
}

export class CommandError extends CodedError<'ERR_COMMAND_FAILED' | 'ERR_COMMAND_TIMEOUT' | 'ERR_COMMAND_MISSING'> {
  readonly argv: readonly string[];
  readonly stderr: string;
  readonly exitCode: number | null;

  constructor(
    code: 'ERR_COMMAND_FAILED' | 'ERR_COMMAND_TIMEOUT' | 'ERR_COMMAND_MISSING',
    message: string,
    detail: {argv: readonly string[]; stderr: string; exitCode: number | null; cause?: unknown},
  ) {
    super(code, message, {source: 'host', cause: detail.cause});
    this.argv = detail.argv;
    this.stderr = detail.stderr;
    this.exitCode = detail.exitCode;
  }
}

export interface RunOptions {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
  /** Written to standard input, which is empty otherwise. */
  readonly input?: string | Uint8Array;
  readonly cwd?: string;
  /** Replaces the environment but for LC_ALL=C; default: this process's. */
  readonly env?: Readonly<Record<string, string | undefined>>;
}

export interface RunResult {
  readonly stdout: string;
  readonly stderr: string;
}

/** The end of what a stream says, when it has ended. */
export async function collect(stream: Readable | null, limitBytes: number): Promise<string> {
  if (stream === null) return '';
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    sizeBytes += chunk.length;
    while (sizeBytes - (chunks[0]?.length ?? 0) > limitBytes) sizeBytes -= chunks.shift()?.length ?? 0;
  }
  return Buffer.concat(chunks).toString();
}

/**
 * Runs a program to its end and returns what it printed (standard error: the last 64 KiB).
 * @throws CommandError when it is missing, exits with a status other than 0, or exceeds `timeoutMs` (it is then killed).
 */
export async function run(argv: readonly [string, ...string[]], options: RunOptions): Promise<RunResult> {
  const [file, ...args] = argv;
  const child = spawn(file, args, {
    stdio: ['pipe', 'pipe', 'pipe'],
    cwd: options.cwd,
    env: childEnvironment(options.env),
    detached: true,
  });
  const deadline = {passed: false}; // not a variable: the compiler would take it for false for ever
  const kill = (): void => killGroup(child);
  const timer = setTimeout(() => {
    deadline.passed = true;
    kill();
  }, options.timeoutMs);
  options.signal?.addEventListener('abort', kill, {once: true});
  try {
    const exited = new Promise<number | null>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', resolve);
    });
    child.stdin.on('error', () => {
      // A program that exits without reading its input says why by its status.
    });
    child.stdin.end(options.input);
    const [stdout, stderr, exitCode] = await Promise.all([collect(child.stdout, Number.POSITIVE_INFINITY), collect(child.stderr, keptOutputBytes), exited]);
    if (exitCode === 0) return {stdout, stderr};
    options.signal?.throwIfAborted();
    const found = deadline.passed
      ? `no end after ${options.timeoutMs} ms`
      : exitCode === null
        ? `killed by ${child.signalCode ?? 'a signal'}`
        : `exit status ${exitCode}`;
    const said = stderr.trim() === '' ? '' : `: ${stderr.trim()}`;
    throw new CommandError(deadline.passed ? 'ERR_COMMAND_TIMEOUT' : 'ERR_COMMAND_FAILED', `Cannot run "${argv.join(' ')}": ${found}${said}`, {
      argv,
      stderr,
      exitCode,
    });
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') {
      throw new CommandError('ERR_COMMAND_MISSING', `Cannot run "${file}": no such program`, {argv, stderr: '', exitCode: null, cause: error});
    }
    throw error;
  } finally {
    clearTimeout(timer);
    options.signal?.removeEventListener('abort', kill);
  }
}

/** What whoever ends us says is passed on; what the terminal says reaches both of us anyway. */
const passedOn = ['SIGTERM', 'SIGHUP'] as const;
const leftAlone = ['SIGINT', 'SIGQUIT'] as const;

/**
 * Runs a program in the place of this one: in its process group, with its terminal and its standard files. It dies with us.
 * @returns its exit status as a shell has it: 128 and the signal when one has ended it
 * @throws CommandError ERR_COMMAND_MISSING
 */
export async function runForeground(argv: readonly [string, ...string[]], {input}: {readonly input: 'inherit' | 'ignore'}): Promise<number> {
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', ...argv], {stdio: [input, 'inherit', 'inherit'], env: childEnvironment(undefined)});
  const pass = (signal: NodeJS.Signals): void => void child.kill(signal);
  const leave = (): void => undefined;
  for (const signal of passedOn) process.on(signal, pass);
  for (const signal of leftAlone) process.on(signal, leave);
  try {
    return await new Promise<number>((resolve, reject) => {
      child.once('error', (cause) => reject(new CommandError('ERR_COMMAND_MISSING', `Cannot run "${argv[0]}"`, {argv, stderr: '', exitCode: null, cause})));
      child.once('exit', (exitCode, signal) => resolve(exitCode ?? 128 + (signal === null ? 0 : constants.signals[signal])));
    });
  } finally {
    for (const signal of passedOn) process.off(signal, pass);
    for (const signal of leftAlone) process.off(signal, leave);
  }
}

export interface Daemon extends AsyncDisposable {
  readonly child: ChildProcess;
  readonly pid: number;
  /** Settles when the program has ended: how it ended, and the end of what it wrote to standard error if that is a pipe. */
  readonly exited: Promise<{readonly exitCode: number | null; readonly signal: string | null; readonly stderr: string}>;
}

export interface DaemonOptions {
  /** As for `child_process.spawn`; numbers are descriptors the child inherits. */
  readonly stdio: StdioOptions;
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Disposing sends this signal, and SIGKILL after `stopTimeoutMs` (default SIGTERM, 5000). */
  readonly stopSignal?: NodeJS.Signals;
  readonly stopTimeoutMs?: number;
  /** False for a child that must outlive us (the keeper of descriptors). Default true: SIGKILL when this process dies. */
  readonly dieWithParent?: boolean;
}

/**
 * Starts a long-lived program in a process group of its own. The caller owns it and disposes it.
 * @throws CommandError ERR_COMMAND_MISSING
 */
export async function startDaemon(argv: readonly [string, ...string[]], options: DaemonOptions): Promise<Daemon> {
  const full = options.dieWithParent === false ? argv : (['setpriv', '--pdeathsig', 'KILL', '--', ...argv] as const);
  const [file, ...args] = full;
  const child = spawn(file, args, {stdio: options.stdio, cwd: options.cwd, env: childEnvironment(options.env), detached: true});
  const stderr = collect(child.stderr, keptOutputBytes);
  const exited = new Promise<{exitCode: number | null; signal: string | null; stderr: string}>((resolve) => {
    child.once('close', (exitCode, signal) => void stderr.then((text) => resolve({exitCode, signal, stderr: text})));
  });
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', (cause) => reject(new CommandError('ERR_COMMAND_MISSING', `Cannot run "${file}"`, {argv, stderr: '', exitCode: null, cause})));
  });
  const {pid} = child;
  if (pid === undefined) throw new CodedError('ERR_ASSERTION', `A started "${file}" has no process id`, {source: 'bug'});
  return {
    child,
    pid,
    exited,
    async [Symbol.asyncDispose]() {
      if (child.exitCode === null && child.signalCode === null) child.kill(options.stopSignal ?? 'SIGTERM');
      const timer = setTimeout(() => killGroup(child), options.stopTimeoutMs ?? 5000);
      await exited;
      clearTimeout(timer);
    },
  };
}

function killGroup(child: ChildProcess): void {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch {
    // It has ended between the check and the signal.
  }
}
