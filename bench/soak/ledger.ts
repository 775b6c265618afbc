/** What an app was told to write down, what it has acknowledged, and whether that is still there: by the rules of docs/operations.md, "What is lost when". */

/** On one clock. */
export interface Span {
  readonly fromMs: number;
  readonly toMs: number;
}

type Write =
  /** Asked for, and nobody knows whether it was done. */
  | {readonly kind: 'unanswered'; readonly fromMs: number}
  | ({readonly kind: 'acknowledged'} & Span)
  /** It was not there any more in the read that ended then, as it may be. */
  | {readonly kind: 'lost'; readonly sinceMs: number};

export class Ledger {
  readonly #writes = new Map<string, Write>();
  readonly #checkpoints: Span[] = [];
  readonly #crashes: Span[] = [];

  get acknowledged(): number {
    return [...this.#writes.values()].filter(({kind}) => kind !== 'unanswered').length;
  }

  get lost(): number {
    return [...this.#writes.values()].filter(({kind}) => kind === 'lost').length;
  }

  /** Of a write. @param span null: there was no answer */
  asked(value: string, fromMs: number, toMs: number | null): void {
    this.#writes.set(value, toMs === null ? {kind: 'unanswered', fromMs} : {kind: 'acknowledged', fromMs, toMs});
  }

  /** A checkpoint was asked for, and acknowledged: what was acknowledged before is safe. */
  checkpoint(span: Span): void {
    this.#checkpoints.push(span);
  }

  /** What the app did since its last checkpoint may be gone. */
  crash(span: Span): void {
    this.#crashes.push(span);
  }

  /** Judges the answer to a read. @returns what must not be */
  read(values: readonly string[], span: Span): string[] {
    const there = new Set(values);
    const found = [
      ...(there.size < values.length ? ['a value twice'] : []),
      ...values.flatMap((value) => this.#present(value, span)),
      ...[...this.#writes].flatMap(([value, write]) => (there.has(value) ? [] : this.#absent(value, write, span))),
    ];
    return found.map((what) => `read from ${span.fromMs} to ${span.toMs}: ${what}`);
  }

  #present(value: string, span: Span): string[] {
    const write = this.#writes.get(value);
    switch (write?.kind) {
      case undefined:
        return [`${value}, which nobody wrote`];
      case 'unanswered':
        // Now it is known to be done, and must stay.
        this.#writes.set(value, {kind: 'acknowledged', fromMs: write.fromMs, toMs: span.toMs});
        return [];
      case 'lost':
        return write.sinceMs <= span.fromMs ? [`${value} is back, which was gone at ${write.sinceMs}`] : [];
      case 'acknowledged':
        return [];
      default:
        return write satisfies never;
    }
  }

  #absent(value: string, write: Write, span: Span): string[] {
    if (write.kind !== 'acknowledged' || write.toMs > span.fromMs) return [];
    this.#writes.set(value, {kind: 'lost', sinceMs: span.toMs});
    const crashes = this.#crashes.filter((crash) => crash.toMs >= write.fromMs && crash.fromMs <= span.toMs);
    if (crashes.length === 0) return [`${value} is gone, acknowledged at ${write.toMs}, and the gateway was not killed`];
    const isSafe = (crash: Span): boolean => this.#checkpoints.some((checkpoint) => checkpoint.fromMs >= write.toMs && checkpoint.toMs <= crash.fromMs);
    return crashes.every(isSafe) ? [`${value} is gone, acknowledged at ${write.toMs}, though a checkpoint followed`] : [];
  }
}
