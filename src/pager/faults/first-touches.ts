/**
 * The pages that a process touched in the first moments of a run, in order of their first touch, up to a bound. What is touched later belongs to
 * other requests: an app that is awake for a day would otherwise be expected to touch all of its memory at its next wake.
 */
import {type PageRange, PageSet} from '../prediction/page-set.ts';

const limit = 1 << 18;
const windowMs = 10_000;

/** The first moments of an instance; they begin with the first touch of any of its processes. */
export class TouchWindow {
  #endMs: number | undefined;

  isOpen(nowMs = performance.now()): boolean {
    this.#endMs ??= nowMs + windowMs;
    return nowMs < this.#endMs;
  }
}

export class FirstTouches {
  readonly #window: TouchWindow;
  readonly #order: number[] = [];
  readonly #seen = new Set<number>();
  readonly #brought = new PageSet();
  readonly #passed = new PageSet();

  constructor(window: TouchWindow = new TouchWindow()) {
    this.#window = window;
  }

  add(page: number): void {
    if (this.#seen.has(page) || this.#order.length >= limit || !this.#window.isOpen()) return;
    this.#seen.add(page);
    this.#order.push(page);
  }

  /** Pages that came along with the touch of another one: nothing shows whether they are touched. */
  bring(range: PageRange): void {
    if (this.#window.isOpen()) this.#brought.add(range);
  }

  /** What of these pages was brought was touched then. */
  pass({page, count}: PageRange): void {
    for (let at = page; at < page + count; at++) {
      if (!this.#brought.has(at)) continue;
      this.#brought.delete({page: at, count: 1});
      this.#passed.add({page: at, count: 1});
    }
  }

  /** Pages that were brought, and passed by the stream of touches that they were brought for. */
  get passed(): readonly PageRange[] {
    return [...this.#passed.ranges()];
  }

  get brought(): readonly PageRange[] {
    return [...this.#brought.ranges()];
  }

  get pages(): readonly number[] {
    return this.#order;
  }
}
