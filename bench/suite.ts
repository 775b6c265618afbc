/** What a suite of the benchmark is: it measures, hands over samples, and says at the end what they mean. */
import type {Table} from './table.ts';

export interface Sample {
  /** What was measured, for example `64 MB, 8 MiB working set, predicted`. */
  readonly case: string;
  readonly round: number;
  /** Units are in the names: `answerMs`, `bytesWritten`. */
  readonly values: Readonly<Record<string, number>>;
  /** Why there are no values. The run goes on with the next case. */
  readonly error?: string;
}

/** A figure that the project has set itself, and what was found. Nothing fails when it is not reached. */
export interface Goal {
  readonly what: string;
  readonly goal: string;
  readonly found: string;
  /** Null when it was not measured. */
  readonly met: boolean | null;
}

export interface Report {
  readonly tables: readonly Table[];
  readonly goals: readonly Goal[];
  /** Said after the tables: where a plot is, what was left out and why. */
  readonly notes?: readonly string[];
}

export interface SuiteContext {
  readonly rounds: number;
  /** More cases, which take longer. */
  readonly full: boolean;
  /** Fewer cases than usual. */
  readonly quick: boolean;
  /** How long a simulated day takes; null: as the suite has it. */
  readonly dayMinutes: number | null;
  /** How long, for a suite that takes as long as one likes. */
  readonly minutes: number | null;
  /** What follows from it is drawn alike. */
  readonly seed: number;
  /** Parts of the suite that were asked for; none: all of it. */
  readonly only: readonly string[];
  /** Files of the suite's own begin with this path. */
  readonly outputPath: string;
  /** Aborted by Ctrl-C: the suite tidies up and throws. */
  readonly signal: AbortSignal;
  readonly record: (sample: Sample) => void;
  /** Says what is being done, to people. */
  readonly progress: (text: string) => void;
}

export interface Suite {
  readonly name: string;
  readonly summary: string;
  readonly defaultRounds: number;
  readonly quickRounds?: number;
  /** It takes too long to be among all. */
  readonly byNameOnly?: true;
  /** What `--only` can name. */
  readonly parts?: readonly string[];
  run(context: SuiteContext): Promise<Report>;
}
