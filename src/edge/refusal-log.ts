/** A wake that fails fails for every session that waits: one line at once, then one with the number of others. */
import type {Clock} from '../core/clock.ts';
import type {Log} from '../core/log.ts';

export interface RefusalLog extends Disposable {
  report(refusal: {readonly frontend: string; readonly server: string; readonly reason: string}): void;
}

const gatherMs = 1000;
/** Different reasons within one second; further ones are logged when the first of them are done. */
const maxGathered = 100;

export function openRefusalLog(log: Log, clock: Clock): RefusalLog {
  const gathering = new Map<string, {count: number; finish: () => void; cancel: () => void}>();
  return {
    report(refusal) {
      const key = `${refusal.frontend}\n${refusal.server}\n${refusal.reason}`;
      const known = gathering.get(key);
      if (known !== undefined) {
        known.count++;
        return;
      }
      if (gathering.size >= maxGathered) return;
      log.warn(refusal, 'session refused');
      const entry = {
        count: 0,
        finish: (): void => {
          gathering.delete(key);
          if (entry.count > 0) log.warn({...refusal, sessions: entry.count}, 'more sessions refused');
        },
        cancel: (): void => undefined,
      };
      entry.cancel = clock.after(gatherMs, entry.finish);
      gathering.set(key, entry);
    },
    [Symbol.dispose]() {
      for (const entry of [...gathering.values()]) {
        entry.cancel();
        entry.finish();
      }
    },
  };
}
