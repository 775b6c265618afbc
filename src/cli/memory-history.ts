/** What the apps take of memory, and what those that sleep do not take, a day long: one sample a minute. */
import type {MemorySample} from '../admin/dashboard/dashboard-source.ts';
import type {Clock} from '../core/clock.ts';
import {pageSizeBytes} from '../pager/checkpoints/page-table.ts';
import type {App} from '../supervisor/app.ts';
import type {Supervisor} from '../supervisor/supervisor.ts';

const sampleMs = 60_000;
const samplesKept = 24 * 60;

export class MemoryHistory implements Disposable {
  readonly #supervisor: Pick<Supervisor, 'names' | 'app'>;
  readonly #clock: Clock;
  readonly #samples: MemorySample[] = [];
  #cancel: () => void;

  constructor(supervisor: Pick<Supervisor, 'names' | 'app'>, clock: Clock) {
    this.#supervisor = supervisor;
    this.#clock = clock;
    this.#cancel = clock.after(0, () => this.#sample());
  }

  /** The oldest first. */
  get samples(): readonly MemorySample[] {
    return this.#samples;
  }

  now(): MemorySample {
    let [used, saved, awake] = [0, 0, 0];
    for (const name of this.#supervisor.names()) {
      const app = this.#supervisor.app(name);
      if (app.instance === null) saved += keptBytes(app) ?? 0;
      else {
        awake++;
        used += app.wakefulness.memoryBytes() ?? 0;
      }
    }
    return [this.#clock.nowMs(), used, saved, awake];
  }

  #sample(): void {
    this.#cancel = this.#clock.after(sampleMs, () => this.#sample());
    this.#samples.push(this.now());
    if (this.#samples.length > samplesKept) this.#samples.shift();
  }

  [Symbol.dispose](): void {
    this.#cancel();
  }
}

/** What a sleeping app has of memory in its checkpoint; null when that is not known. */
export function keptBytes(app: Pick<App, 'status'>): number | null {
  const {rest, lastHibernate} = app.status();
  const pages = lastHibernate?.pageCount;
  return rest.kind !== 'checkpoint' || pages === undefined ? null : pages * pageSizeBytes;
}
