/**
 * Ends a CRIU together with the tasks that it has forked: one that is killed in the middle of a restore would leave them, in no control group
 * of the app yet. It makes the first task a child of its own parent, which is this process (CLONE_PARENT in criu/cr-restore.c).
 */
import {readdirSync, readlinkSync} from 'node:fs';
import {errorCode} from '../core/errors.ts';
import {readKernelFile} from '../core/kernel-files.ts';
import {reap} from '../core/libc.ts';

/** A process that was told to stop has stopped within this time, or it has ended. */
const stopTriesMax = 1000;
const reapWithinMs = 5000;
const reapPollMs = 2;

/** @param descriptor of its socket, which its tasks have until they are complete. @returns the tasks; the caller reaps them with `reapAll` */
export function killCriu(pid: number, descriptor: number): readonly number[] {
  // One that is stopped makes no more.
  if (!signal(pid, 'SIGSTOP')) return [];
  for (let tries = 0; tries < stopTriesMax && isRunning(pid); tries++);
  const socket = linkOf(`/proc/${pid}/fd/${descriptor}`);
  const first = socket === '' ? [] : childrenOf(process.pid).filter((child) => child !== pid && holds(child, socket));
  const tasks = [...first, ...[...first, pid].flatMap(descendantsOf)];
  for (const task of tasks) signal(task, 'SIGKILL');
  signal(pid, 'SIGKILL');
  return tasks;
}

/** Ends what a CRIU that was killed by somebody else has left. @param socket of its, as links to it are called. @returns as `killCriu()` */
export function killLeft(socket: string): readonly number[] {
  const first = childrenOf(process.pid).filter((child) => holds(child, socket));
  const left = [...first, ...first.flatMap(descendantsOf)];
  for (const pid of left) signal(pid, 'SIGKILL');
  return left;
}

/** Resolves when they are gone: one that was killed takes a moment to end. */
export async function reapAll(pids: readonly number[]): Promise<void> {
  const deadlineMs = performance.now() + reapWithinMs;
  for (const pid of pids) {
    while (reap(pid) === undefined && performance.now() < deadlineMs) await new Promise((resolve) => setTimeout(resolve, reapPollMs));
  }
}

function signal(pid: number, name: NodeJS.Signals): boolean {
  try {
    process.kill(pid, name);
    return true;
  } catch (error) {
    if (errorCode(error) === 'ESRCH') return false; // It has ended.
    throw error;
  }
}

/** Neither stopped nor ended. */
function isRunning(pid: number): boolean {
  const status = read(`/proc/${pid}/stat`);
  // The name of a program may hold parentheses.
  return status !== '' && !/\) [TtZX] /.test(status.slice(status.lastIndexOf(')')));
}

function childrenOf(pid: number): number[] {
  return read(`/proc/${pid}/task/${pid}/children`).trim().split(' ').filter(Boolean).map(Number);
}

function descendantsOf(pid: number): number[] {
  return childrenOf(pid).flatMap((child) => [child, ...descendantsOf(child)]);
}

function holds(pid: number, link: string): boolean {
  const directory = `/proc/${pid}/fd`;
  try {
    return readdirSync(directory).some((fd) => linkOf(`${directory}/${fd}`) === link);
  } catch {
    return false; // It has ended.
  }
}

/** `''` for a descriptor that is closed. */
function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}

/** `''` for a process that has ended. */
function read(path: string): string {
  try {
    return readKernelFile(path);
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ESRCH') return '';
    throw error;
  }
}
