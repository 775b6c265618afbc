/** How much of the suite is run: all that the figures need, or a few points of each curve. */

export interface Selection {
  readonly workingSetsBytes: readonly number[];
  readonly contents: readonly Content[];
  /** How much of the working set lies elsewhere than in the runs before. */
  readonly shiftsPercent: readonly number[];
  readonly changedBytes: readonly number[];
  readonly chainSleeps: number;
  readonly manyApps: number;
  readonly largeMiB: number;
}

/** Of the app's memory, as test/fixtures/memory-server.py names it. */
export const contentNames = {random: 'incompressible', repeating: 'compressible'} as const;
export type Content = keyof typeof contentNames;

/** The set whose parts are shifted, and that the goals are about. */
export const largestSetBytes = 2 ** 23;
export const appMiB = 64;

const all: Selection = {
  workingSetsBytes: Array.from({length: 12}, (_, power) => 2 ** (12 + power)),
  contents: ['random', 'repeating'],
  shiftsPercent: [0, 12.5, 25, 50, 75, 100],
  changedBytes: [0, 2 ** 16, 2 ** 18, 2 ** 20, 2 ** 22, 2 ** 24],
  chainSleeps: 100,
  manyApps: 20,
  largeMiB: 1024,
};

const few: Selection = {
  ...all,
  workingSetsBytes: [2 ** 12, 2 ** 19, largestSetBytes],
  contents: ['random'],
  shiftsPercent: [0, 12.5, 100],
  changedBytes: [0, 2 ** 16, 2 ** 20, 2 ** 24],
  chainSleeps: 30,
};

export function selectionOf({quick}: {readonly quick: boolean}): Selection {
  return quick ? few : all;
}
