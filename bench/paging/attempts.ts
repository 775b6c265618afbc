/** One case must not end the others: what fails is a sample of its own, and what fails again and again is left out. */
import {errorMessage} from '../../src/core/errors.ts';
import type {PagingBench} from './paging-bench.ts';

const strikes = 3;

export interface Attempt {
  readonly case: string;
  readonly round: number;
  /** What is given up with it, and what is tried to go on after a failure. */
  readonly subject: string;
  readonly recover: () => Promise<unknown>;
}

export class Attempts {
  readonly #bench: Pick<PagingBench, 'record' | 'signal' | 'progress'>;
  /** Failures in succession of each subject. */
  readonly #failures = new Map<string, number>();

  constructor(bench: Pick<PagingBench, 'record' | 'signal' | 'progress'>) {
    this.#bench = bench;
  }

  givenUp(subject: string): boolean {
    return (this.#failures.get(subject) ?? 0) >= strikes;
  }

  /** Records what `measure` finds, or that it failed; null: there is nothing to record. @returns false when it failed or was not tried. @throws only what aborts the run */
  async run({case: name, round, subject, recover}: Attempt, measure: () => Promise<Record<string, number> | null>): Promise<boolean> {
    const {record, signal, progress} = this.#bench;
    signal.throwIfAborted();
    if (this.givenUp(subject)) return false;
    try {
      const values = await measure();
      if (values !== null) record({case: name, round, values});
      this.#failures.delete(subject);
      return true;
    } catch (error) {
      signal.throwIfAborted();
      const failures = (this.#failures.get(subject) ?? 0) + 1;
      this.#failures.set(subject, failures);
      record({case: name, round, values: {}, error: errorMessage(error)});
      progress(`failed: ${name}: ${errorMessage(error)}${failures >= strikes ? `; ${subject} is left out from now on` : ''}`);
      await recover().catch((also: unknown) => progress(`and cannot be put right: ${errorMessage(also)}`));
      signal.throwIfAborted();
      return false;
    }
  }
}
