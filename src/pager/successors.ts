/**
 * Which blocks usually follow a block in the order of first touches: what a fault says about the faults to come, whatever the request was.
 * Pure data: knows nothing of processes or stores. For each block, the few blocks that were touched first soon after it, with moving averages of
 * how often; and the pages of each block that the last two runs touched.
 */
import {blockPages} from './page-table.ts';

export interface SuccessorsOptions {
  /** Blocks that are remembered; those that were not touched for the longest time go first. */
  readonly maxBlocks: number;
  /** Followers that are remembered of each block. */
  readonly maxFollowers: number;
  /** How many blocks after a block still follow it. */
  readonly reach: number;
  /** From this likelihood on a block is said to follow. */
  readonly atLeast: number;
}

export interface Follower {
  readonly block: number;
  /** The pages of it that runs touch, one bit each. */
  readonly pages: number;
}

interface Known {
  /** Likelihood by block. */
  readonly followers: Map<number, number>;
  /** The pages that the last run and the one before it touched. */
  pages: number;
  before: number;
}

const newestWeight = 0.3;
const byDefault: SuccessorsOptions = {maxBlocks: 8192, maxFollowers: 8, reach: 4, atLeast: 0.6};

export class Successors {
  readonly #options: SuccessorsOptions;
  /** In order of their last touch. */
  readonly #blocks = new Map<number, Known>();

  constructor(options: Partial<SuccessorsOptions> = {}) {
    this.#options = {...byDefault, ...options};
  }

  /** Takes in one run. @param order the pages of a process in order of their first touch */
  learn(order: Iterable<number>): void {
    const pages = new Map<number, number>();
    for (const page of order) {
      const block = Math.floor(page / blockPages);
      pages.set(block, (pages.get(block) ?? 0) | (1 << (page % blockPages)));
    }
    const blocks = [...pages.keys()];
    for (const [at, block] of blocks.entries()) {
      const known = this.#blocks.get(block) ?? {followers: new Map<number, number>(), pages: 0, before: 0};
      this.#blocks.delete(block);
      this.#blocks.set(block, known);
      known.before = known.pages;
      known.pages = pages.get(block) ?? 0;
      this.#follow(known.followers, blocks.slice(at + 1, at + 1 + this.#options.reach));
    }
    for (const block of this.#blocks.keys()) {
      if (this.#blocks.size <= this.#options.maxBlocks) return;
      this.#blocks.delete(block);
    }
  }

  #follow(followers: Map<number, number>, now: readonly number[]): void {
    for (const [block, likelihood] of followers) followers.set(block, likelihood * (1 - newestWeight));
    for (const block of now) {
      const before = followers.get(block);
      // One run is worth believing until another contradicts it.
      followers.set(block, before === undefined ? this.#options.atLeast : before + newestWeight);
    }
    const kept = [...followers].sort(([, a], [, b]) => b - a).slice(0, this.#options.maxFollowers);
    followers.clear();
    for (const [block, likelihood] of kept) followers.set(block, likelihood);
  }

  /** What usually follows the touch of a block: the rest of it, then the blocks after it, the likeliest first. */
  following(block: number): readonly Follower[] {
    const found: Follower[] = [];
    const add = (follower: number): void => {
      const {pages, before} = this.#blocks.get(follower) ?? {pages: 0, before: 0};
      if (pages !== 0) found.push({block: follower, pages: pages | before});
    };
    add(block);
    for (const [follower, likelihood] of this.#blocks.get(block)?.followers ?? []) if (likelihood >= this.#options.atLeast - Number.EPSILON) add(follower);
    return found;
  }

  get size(): number {
    return this.#blocks.size;
  }
}
