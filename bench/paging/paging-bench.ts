/** What a part of the suite is, and what it is given. */
import type {Goal, Sample} from '../suite.ts';
import type {Table} from '../table.ts';
import type {Panel} from './plot/panel.ts';
import type {Samples} from './samples.ts';
import type {Selection} from './selection.ts';

export interface PagingBench {
  readonly rounds: number;
  readonly selection: Selection;
  /** A root file system with Python. */
  readonly python: string;
  readonly signal: AbortSignal;
  readonly record: (sample: Sample) => void;
  readonly progress: (text: string) => void;
}

export interface PartReport {
  readonly tables: readonly Table[];
  readonly goals: readonly Goal[];
  readonly panels?: readonly Panel[];
}

export interface PagingPart {
  readonly name: string;
  readonly summary: string;
  /** A case that fails is recorded as such. @throws Error what keeps all further cases from being measured */
  run(bench: PagingBench): Promise<void>;
  /** Of whatever was measured, which may be nothing. */
  report(samples: Samples, selection: Selection): PartReport;
}
