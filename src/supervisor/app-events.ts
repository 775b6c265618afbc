import {setTimeout as sleep} from 'node:timers/promises';
import {errorMessage} from '../core/errors.ts';
import type {Log} from '../core/log.ts';
import type {Events} from '../store/events.ts';

export interface AppMove {
  readonly app: string;
  /** Null: there is only one. */
  readonly worker: string | null;
  /** The state that it is in now, there. */
  readonly to: string;
}

const retryMs = 1000;

/**
 * Tells what other workers do with the apps, until it is disposed. What is missed while Redis cannot be reached is not made up for.
 * @param own the name of this worker, whose own doings are left out; null: this is none
 */
export function followMoves(events: Events, own: string | null, onMove: (move: AppMove) => void, log: Log): Disposable {
  const stop = new AbortController();
  const follow = async (): Promise<void> => {
    while (!stop.signal.aborted) {
      try {
        for await (const {event} of events.follow({signal: stop.signal})) {
          const {app, kind, to} = event;
          const worker = typeof event['worker'] === 'string' ? event['worker'] : null;
          const isOther = own === null || (worker !== null && worker !== own);
          if (kind === 'state' && app !== null && isOther && typeof to === 'string') onMove({app, worker, to});
        }
      } catch (error) {
        log.warn({error: errorMessage(error)}, 'what other workers do with the apps cannot be followed now');
      }
      await sleep(retryMs, undefined, {signal: stop.signal, ref: false}).catch(() => undefined); // Only cut short by the stop.
    }
  };
  void follow();
  return {[Symbol.dispose]: () => stop.abort()};
}
