/** How CRIU is called: its options for a checkpoint and for a restore, and what its failures are made into. */
import {closeSync, constants, openSync} from 'node:fs';
import {CodedError, errorCode, errorMessage} from '../core/errors.ts';
import {type CriuFailure, criuReason} from './criu-log.ts';
import {type CriuOptions, type CriuResponse, type ExternalFile, manageCgroups, networkLock} from './criu-rpc.ts';
import {inputDescriptor, outputDescriptor} from './criu-session.ts';
import {externalName, type StandardFiles} from './standard-files.ts';

/** What CRIU must know of a container. */
export interface RestoreTarget {
  /** The app's name, for messages. */
  readonly name: string;
  readonly rootDir: string;
  /** Where this one and all others are. */
  readonly containersDir: string;
  readonly netnsPath: string;
  readonly bindMounts: readonly {readonly name: string; readonly inside: string; readonly outside: string}[];
  readonly standardFiles: StandardFiles;
  /** Puts CRIU into the app's control groups, where there is room for it until `left`. */
  enter(pid: number): Promise<void>;
  /** @throws CodedError ERR_CGROUP */
  left(pid: number): void;
  /** Those that are not to be counted among the app's processes: they are still CRIU's. */
  readonly waiting: Set<number>;
  pids(): readonly number[];
  killAll(): Promise<void>;
}

export interface CheckpointRequest {
  /** The app's first process, as the host numbers it. */
  readonly pid: number;
  /** CRIU's images are written here. */
  readonly dumpDir: string;
  /** CRIU's log is written here. */
  readonly workDir: string;
  readonly target: RestoreTarget;
  /** Called once, when everything is written and the tasks are frozen. Throwing cancels. */
  readonly decide: () => Promise<'commit' | 'cancel'>;
  /** Default 120 s. */
  readonly timeoutMs?: number;
  /** Aborting before `decide` was called cancels, with the signal's reason thrown. */
  readonly signal?: AbortSignal;
}

export interface RestoreRequest {
  readonly imagesDir: string;
  /** CRIU's log is written here; with `lazy`, whoever serves memory listens on `lazy-pages.socket` in it. */
  readonly workDir: string;
  readonly target: RestoreTarget;
  readonly lazy: boolean;
}

/** Deleted but open files up to this size are saved with the memory. */
const ghostLimitBytes = 256 * 1024 * 1024;
const warnings = 2;
export const dumpLog = 'dump.log';
export const restoreLog = 'restore.log';

const commonOptions = {
  imagesDirFd: -1,
  logLevel: warnings,
  tcpEstablished: true,
  fileLocks: true,
  extUnixSockets: true,
  linkRemap: true,
  manageCgroupsMode: manageCgroups.ignore,
  networkLock: networkLock.skip,
  ghostLimit: ghostLimitBytes,
} as const satisfies CriuOptions;

export function dumpOptions({pid, dumpDir, target}: CheckpointRequest, workDirFd: number, timeoutMs: number): CriuOptions {
  return {
    ...commonOptions,
    pid,
    imagesDir: dumpDir,
    workDirFd,
    logFile: dumpLog,
    notifyScripts: true,
    root: target.rootDir,
    external: [
      ...target.bindMounts.map(({name, inside}) => `mnt[${inside}]:${name}`),
      externalName(target.standardFiles.input),
      externalName(target.standardFiles.output),
    ],
    timeout: Math.ceil(timeoutMs / 1000),
  };
}

export function restoreOptions({imagesDir, target, lazy}: RestoreRequest, workDirFd: number, files: readonly ExternalFile[]): CriuOptions {
  return {
    ...commonOptions,
    imagesDir,
    workDirFd,
    logFile: restoreLog,
    notifyScripts: true,
    root: target.rootDir,
    external: target.bindMounts.map(({name, outside}) => `mnt[${name}]:${outside}`),
    inheritFd: files.map(({name, kind}) => ({key: name, fd: kind === 'fifo' ? outputDescriptor : inputDescriptor})),
    lazyPages: lazy,
  };
}

export function openDirectory(path: string): Disposable & {readonly descriptor: number} {
  const descriptor = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
  return {descriptor, [Symbol.dispose]: () => closeSync(descriptor)};
}

export function criuError(
  code: 'ERR_CHECKPOINT' | 'ERR_RESTORE',
  what: string,
  {excerpt, explanation, isLasting}: CriuFailure,
  response: CriuResponse | undefined,
  cause: unknown,
): CodedError {
  const found = explanation ?? (cause === undefined ? (excerpt === '' ? criuReason(response?.errorMessage) : undefined) : errorMessage(cause));
  const log = excerpt === '' ? undefined : `CRIU's log: ${excerpt}`;
  return new CodedError(code, `${what}: ${[found, log].filter((part) => part !== undefined).join('; ') || 'CRIU does not say why'}`, {
    source: 'host',
    // Nothing has changed; another attempt may find the app in another state.
    retryable: !isLasting && errorCode(cause) !== 'ENOENT',
    cause,
  });
}
