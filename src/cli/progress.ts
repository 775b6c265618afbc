/** How far long work is: one line that renews itself on a terminal, and elsewhere a line at long intervals. On standard error. */
import {bytes, span} from './format.ts';

const terminalEveryMs = 200;
const lineEveryMs = 10_000;
/** The rate is that of the last few seconds: what was fast at the beginning says nothing about the rest. */
const rateOverMs = 5000;

export interface ProgressStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

/** Disposing it removes its line from the terminal. */
export interface Progress extends Disposable {
  /** So many bytes are done in all. Cheap: most calls show nothing. @param note said behind the numbers, such as `120 files` */
  at(doneBytes: number, note?: string): void;
  /** It is known now how many there will be. */
  total(totalBytes: number): void;
}

export interface ProgressNumbers {
  readonly doneBytes: number;
  /** Null: not known. */
  readonly totalBytes: number | null;
  /** Null: not known yet. */
  readonly bytesPerSecond: number | null;
  readonly note: string;
}

/** `import wiki: 12.0 MiB of 40.0 MiB (30%), 4.0 MiB/s, 7 s left`. */
export function progressText(title: string, {doneBytes, totalBytes, bytesPerSecond, note}: ProgressNumbers): string {
  const share = totalBytes === null || totalBytes === 0 ? '' : ` of ${bytes(totalBytes)} (${Math.min(100, Math.floor((doneBytes / totalBytes) * 100))}%)`;
  const parts = [`${bytes(doneBytes)}${share}`];
  if (bytesPerSecond !== null) parts.push(`${bytes(bytesPerSecond)}/s`);
  if (bytesPerSecond !== null && bytesPerSecond > 0 && totalBytes !== null && doneBytes < totalBytes) {
    parts.push(`${span(((totalBytes - doneBytes) / bytesPerSecond) * 1000)} left`);
  }
  if (note !== '') parts.push(note);
  return `${title}: ${parts.join(', ')}`;
}

/** @param totalBytes null: not known yet, see `total()` */
export function progress(
  title: string,
  totalBytes: number | null,
  {stream = process.stderr, nowMs = () => performance.now()}: {readonly stream?: ProgressStream; readonly nowMs?: () => number} = {},
): Progress {
  const terminal = stream.isTTY === true;
  const startedMs = nowMs();
  let total = totalBytes;
  let shownMs = startedMs;
  let drawn = false;
  let samples: {readonly atMs: number; readonly doneBytes: number}[] = [{atMs: startedMs, doneBytes: 0}];
  const rate = (atMs: number, doneBytes: number): number | null => {
    samples = [...samples.filter((sample, index) => atMs - sample.atMs <= rateOverMs || index === samples.length - 1), {atMs, doneBytes}];
    const first = samples[0];
    return first === undefined || atMs === first.atMs ? null : Math.max(0, (doneBytes - first.doneBytes) / (atMs - first.atMs)) * 1000;
  };
  return {
    at(doneBytes, note = '') {
      const atMs = nowMs();
      if (atMs - shownMs < (terminal ? terminalEveryMs : lineEveryMs)) return;
      shownMs = atMs;
      const text = progressText(title, {doneBytes, totalBytes: total, bytesPerSecond: rate(atMs, doneBytes), note});
      if (!terminal) return void stream.write(`${text}\n`);
      drawn = true;
      // Some terminals do not know how wide they are, and say 0.
      const columns = stream.columns === undefined || stream.columns === 0 ? 80 : stream.columns;
      stream.write(`\r\x1b[K${text.slice(0, Math.max(20, columns - 1))}`);
    },
    total(known) {
      total = known;
    },
    [Symbol.dispose]() {
      if (drawn) stream.write('\r\x1b[K');
      drawn = false;
    },
  };
}
