import {readKernelFile} from '../../core/kernel-files.ts';
import {type ProcessIds, threadsOf, unlessEnded} from './threads.ts';

/** The kernel does not tell how long a thread has slept. What looks the same at two looks, and was never scheduled between them, has slept since the first. */
export class ThreadWatch {
  #seen = new Map<number, Seen>();
  #lookedAtMs = 0;

  /** The app runs from now on: nothing of it has slept for longer. @param nowMs since 1970, as all times here */
  restart(nowMs: number): void {
    this.#seen.clear();
    this.#lookedAtMs = nowMs;
  }

  look(processes: readonly ProcessIds[], nowMs: number): void {
    const seen = new Map<number, Seen>();
    for (const process of processes) {
      for (const tid of threadsOf(process.pid)) {
        const state = stateOf(process.pid, tid);
        const before = this.#seen.get(tid);
        if (state !== undefined) seen.set(tid, {process, tid, ...state, sinceMs: isSame(before, state) ? before.sinceMs : this.#lookedAtMs});
      }
    }
    this.#seen = seen;
    this.#lookedAtMs = nowMs;
  }

  /** What the last look found. */
  threads(): Iterable<Seen> {
    return this.#seen.values();
  }

  /** When a thread of the host's number began to wait, at the earliest. */
  sinceMs(tid: number): number {
    return this.#seen.get(tid)?.sinceMs ?? this.#lookedAtMs;
  }
}

export interface Seen {
  readonly process: ProcessIds;
  readonly tid: number;
  /** Its system call, as /proc has it. */
  readonly call: string;
  readonly runs: string;
  readonly sinceMs: number;
}

function isSame(before: Seen | undefined, now: Pick<Seen, 'call' | 'runs'>): before is Seen {
  return before?.call === now.call && before.runs === now.runs;
}

/** Undefined for a thread that has ended. */
function stateOf(pid: number, tid: number): Pick<Seen, 'call' | 'runs'> | undefined {
  return unlessEnded(() => {
    const call = readKernelFile(`/proc/${pid}/task/${tid}/syscall`);
    // Time on a processor, time in a queue for one, and how often.
    return {call, runs: readKernelFile(`/proc/${pid}/task/${tid}/schedstat`)};
  });
}
