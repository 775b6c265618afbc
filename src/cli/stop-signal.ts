/** Signals that end a gateway, or make it read its configuration again. */

import {writeSync} from 'node:fs';
import {CodedError} from '../core/errors.ts';
import {exitStatus} from './exit-status.ts';

/** What is being put in order is left as it is. */
function endAtOnce(signal: string): never {
  writeSync(process.stderr.fd, `picogate: ended at once by a second ${signal}; what is left can be removed by "picogate cleanup", or by the next start\n`);
  process.exit(exitStatus.interrupted);
}

/** Resolves at the first SIGTERM or SIGINT; a second one ends the process at once. */
export function stopSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.once(signal, () => {
        resolve(signal);
        process.once(signal, endAtOnce);
      });
    }
  });
}

/** Of a command that one signal ends in order. */
export function interruptedBy(signal: NodeJS.Signals): CodedError {
  return new CodedError('ERR_INTERRUPTED', `interrupted by ${signal}; nothing was changed`, {source: 'client'});
}

const handled = ['SIGTERM', 'SIGINT', 'SIGUSR1', 'SIGUSR2', 'SIGHUP'] as const;
const longestDelayMs = 2 ** 31 - 1;
export type MasterSignal = (typeof handled)[number];

export interface Signals extends Disposable {
  /** In the order in which they came; ends never. Several of one kind that wait are one. */
  received(): AsyncGenerator<MasterSignal>;
  /** Settles at the first SIGTERM or SIGINT. The next one after it ends the process at once. */
  readonly hardStop: Promise<MasterSignal>;
}

export function listenToSignals(): Signals {
  const waiting = new Set<MasterSignal>();
  let notify: () => void = () => undefined;
  const {promise: hardStop, resolve: stopHard} = Promise.withResolvers<MasterSignal>();
  let stops = 0;
  const receive = (signal: MasterSignal): void => {
    if (signal === 'SIGTERM' || signal === 'SIGINT') {
      stops++;
      if (stops > 1) endAtOnce(signal);
      stopHard(signal);
    }
    waiting.add(signal);
    notify();
  };
  for (const signal of handled) process.on(signal, receive);
  // A supervisor without apps waits for nothing else, and a wait for signals does not keep a process.
  const alive = setInterval(() => undefined, longestDelayMs);
  return {
    hardStop,
    async *received() {
      while (true) {
        for (const signal of waiting) {
          waiting.delete(signal);
          yield signal;
        }
        if (waiting.size > 0) continue;
        const {promise, resolve} = Promise.withResolvers<void>();
        notify = resolve;
        await promise;
      }
    },
    [Symbol.dispose]() {
      clearInterval(alive);
      for (const signal of handled) process.off(signal, receive);
    },
  };
}
