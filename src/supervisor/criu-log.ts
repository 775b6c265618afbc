/** What CRIU's log says of a failure, short enough for an error message. */
import {readFile, statfs} from 'node:fs/promises';
import {dirname} from 'node:path';

const errorLinesMax = 4;
const otherLinesMax = 3;

export interface CriuFailure {
  readonly excerpt: string;
  /** What it means, when it is a cause that is known. */
  readonly explanation: string | undefined;
  /** It is like that on this machine: another attempt fails too. */
  readonly isLasting: boolean;
  /** A connection waits to be accepted, which CRIU cannot save: somebody wants the app. */
  readonly connecting: boolean;
}

/** Not a reason: CRIU says it whenever it may not raise its own limits, and goes on. */
const harmless = /rlimit: Can't setup RLIMIT_NOFILE for self/;

const diskFull = 'the disk is full';
/** Less than what any checkpoint needs. */
const fullBytes = 256 * 1024;

const explanations: readonly {readonly pattern: RegExp; readonly text: string; readonly isLasting?: boolean}[] = [
  {
    pattern: /Can't get rlimit \d+/,
    text: 'a process of the app does not run as uid 0, and CRIU may not read its limits: the gateway lacks CAP_SYS_RESOURCE on this machine',
    isLasting: true,
  },
  {pattern: /File .* has bad (size|build-ID|mode|checksum)/, text: 'a file of the root file system has changed since the checkpoint was made'},
  {
    pattern: /Can't lookup mount=\d+ for fd=-\d+ path=/,
    text: 'a file that the app has mapped is on a mount that CRIU cannot see: the root file system must not be on an overlay itself, as in a container',
  },
  {pattern: /No space left on device/, text: diskFull},
];

/** Reads `file`; errors come first, then the end of the rest. */
export async function readCriuFailure(file: string): Promise<CriuFailure> {
  const found = criuFailure(await readFile(file, 'utf8').catch(() => '')); // CRIU may have failed before it opened its log.
  // Then there was no room for the log either.
  return found.explanation === undefined && (await isFull(dirname(file))) ? {...found, explanation: diskFull} : found;
}

async function isFull(directory: string): Promise<boolean> {
  const found = await statfs(directory).catch(() => null); // What failed is told, whatever has become of its directory.
  return found !== null && found.bavail * found.bsize < fullBytes;
}

export function criuFailure(log: string): CriuFailure {
  const lines = log.split('\n').filter((line) => line !== '' && !harmless.test(line));
  const errors = lines.filter((line) => line.includes('Error ('));
  const others = lines.filter((line) => !line.includes('Error ('));
  const excerpt = [...errors.slice(0, errorLinesMax), ...others.slice(-otherLinesMax)].map(withoutTime).join('; ');
  const known = explanations.find(({pattern}) => pattern.test(log));
  return {excerpt, explanation: known?.text, isLasting: known?.isLasting === true, connecting: /In-flight connection \(l\)/.test(log)};
}

/** What CRIU itself gives as the reason. @returns undefined when it is none */
export function criuReason(message: string | undefined): string | undefined {
  const text = message?.trim();
  return text === undefined || text === '' || harmless.test(text) ? undefined : text;
}

/** `(00.012345) 12: Error (criu/x.c:1): text` */
function withoutTime(line: string): string {
  return line.replace(/^\(\d+\.\d+\)\s*/, '');
}
