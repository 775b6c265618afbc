/** What has been measured so far, to be asked for by case. */
import {median} from '../statistics.ts';
import type {Sample} from '../suite.ts';

export class Samples {
  readonly #samples: Sample[] = [];

  add(sample: Sample): void {
    this.#samples.push(sample);
  }

  /** In the order of measurement; empty when there are none. */
  values(name: string, value: string): number[] {
    return this.#samples.filter((sample) => sample.case === name).flatMap(({values}) => (values[value] === undefined ? [] : [values[value]]));
  }

  /** By round. */
  byRound(name: string, value: string): Map<number, number> {
    const found = this.#samples.filter((sample) => sample.case === name);
    return new Map(found.flatMap(({round, values}) => (values[value] === undefined ? [] : [[round, values[value]] as const])));
  }

  /** NaN when nothing was measured. */
  median(name: string, value: string): number {
    return median(this.values(name, value));
  }

  count(): number {
    return this.#samples.length;
  }

  has(name: string): boolean {
    return this.#samples.some((sample) => sample.case === name);
  }

  failures(name?: string): Sample[] {
    return this.#samples.filter((sample) => sample.error !== undefined && (name === undefined || sample.case === name));
  }
}
