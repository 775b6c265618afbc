/**
 * The clocks of an app whose first process CRIU has made while the app slept. The kernel fixes the offsets of a time namespace when a process enters it,
 * time_namespaces(7), and the clocks are to go on from where they stood when the app wakes; so that process, which waits and is alone, enters another one then.
 */
import {readdirSync, readFileSync, readlinkSync, writeFileSync} from 'node:fs';
import {readdir, readFile} from 'node:fs/promises';
import {join} from 'node:path';
import {CodedError} from '../core/errors.ts';
import {clockTime} from '../core/libc.ts';
import {lendCalls} from '../core/ptrace.ts';
import {type Clocks, readClocks} from './timers/core-image.ts';

const second = 1_000_000_000n;
/** Numbers of x86-64. */
const calls = {openat: 257, unshare: 272, setns: 308} as const;
const newTimeNamespace = 0x80;
const closeOnExec = 0o2000000;

/** Null where the kernel has no time namespaces. @throws CodedError ERR_CRIU_IMAGE */
export async function savedClocks(imagesDir: string): Promise<Clocks | null> {
  const name = (await readdir(imagesDir)).find((image) => /^timens-\d+\.img$/.test(image));
  return name === undefined ? null : readClocks(await readFile(join(imagesDir, name)));
}

/**
 * The process enters a new time namespace when this is called; its clocks go on from `clocks` then. CRIU closes what is left open for that.
 * @throws CodedError; where they stand is not known then
 */
export type StartClocks = (clocks: Clocks) => Promise<void>;

/** All that can be done before. @param pid CRIU's first task of the app. @throws CodedError */
export async function stopClocks(pid: number): Promise<StartClocks> {
  const proc = procDescriptor(pid);
  const namespace = await lendCalls(pid, async (task) => {
    await task.call('make a time namespace', calls.unshare, newTimeNamespace);
    // Through what CRIU has open: the app's root need not have a /proc.
    return task.call('open its time namespace', calls.openat, proc, task.put(Buffer.from('self/ns/time_for_children\0')), closeOnExec);
  });
  return async (clocks) => {
    writeFileSync(`/proc/${pid}/timens_offsets`, offsetsFor(clocks));
    await lendCalls(pid, (task) => task.call('enter its time namespace', calls.setns, namespace, newTimeNamespace));
  };
}

function procDescriptor(pid: number): number {
  const directory = `/proc/${pid}/fd`;
  const found = readdirSync(directory).find((descriptor) => readlinkSync(`${directory}/${descriptor}`) === '/proc');
  if (found === undefined) throw new CodedError('ERR_RESTORE', `CRIU's task ${pid} has no /proc open`, {source: 'host'});
  return Number(found);
}

/** For proc_pid_timens_offsets, which counts from the clocks of the host. */
function offsetsFor(clocks: Clocks): string {
  const own = readFileSync('/proc/self/timens_offsets', 'latin1');
  const lines = (['monotonic', 'boottime'] as const).map((name) => {
    const [, seconds, nanoseconds] = new RegExp(`^${name}\\s+(-?\\d+)\\s+(\\d+)$`, 'm').exec(own) ?? [];
    const ownOffset = BigInt(seconds ?? 0) * second + BigInt(nanoseconds ?? 0);
    const offset = clocks[name] - clockTime(name) + ownOffset;
    const fraction = ((offset % second) + second) % second;
    return `${name} ${(offset - fraction) / second} ${fraction}\n`;
  });
  return lines.join('');
}
