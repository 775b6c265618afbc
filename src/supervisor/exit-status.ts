import {readWaitStatus} from '../core/wait-status.ts';

/** How an app ended; 'unknown' when its first process was not ours to reap. */
export type ExitStatus = {readonly kind: 'exited'; readonly code: number} | {readonly kind: 'killed'; readonly signal: string} | {readonly kind: 'unknown'};

/** @param waitStatus as wait(2) gives it; undefined or null when there is none */
export function exitStatus(waitStatus: number | null | undefined): ExitStatus {
  if (waitStatus === null || waitStatus === undefined) return {kind: 'unknown'};
  const {exitCode, signal} = readWaitStatus(waitStatus);
  return signal === null ? {kind: 'exited', code: exitCode} : {kind: 'killed', signal};
}

/** `ended with status 1`, to follow a name. */
export function describeExit(status: ExitStatus): string {
  switch (status.kind) {
    case 'exited':
      return `ended with status ${status.code}`;
    case 'killed':
      return `was killed by ${status.signal}`;
    case 'unknown':
      return 'ended';
    default:
      return status satisfies never;
  }
}

/** The number or name in it, for an event. */
export function exitFields(status: ExitStatus): Readonly<Record<string, string | number>> {
  switch (status.kind) {
    case 'exited':
      return {code: status.code};
    case 'killed':
      return {signal: status.signal};
    case 'unknown':
      return {};
    default:
      return status satisfies never;
  }
}
