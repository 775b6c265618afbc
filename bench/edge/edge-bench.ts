/** What a part of the suite is, and what it is given. */
import type {Panel} from '../paging/plot/panel.ts';
import type {Samples} from '../paging/samples.ts';
import type {Goal, Sample} from '../suite.ts';
import type {Table} from '../table.ts';

export interface EdgeBench {
  readonly rounds: number;
  /** How long each contender is loaded per round. */
  readonly loadSeconds: number;
  /** For files of the part; removed at the end of the suite. */
  readonly directory: string;
  readonly signal: AbortSignal;
  readonly record: (sample: Sample) => void;
  readonly progress: (text: string) => void;
}

export interface PartReport {
  readonly table: Table;
  readonly goals: readonly Goal[];
  readonly panels?: readonly Panel[];
}

export interface EdgePart {
  readonly name: string;
  readonly summary: string;
  /** @throws Error what keeps the part from being measured */
  run(bench: EdgeBench): Promise<void>;
  /** Of whatever was measured, which may be nothing. */
  report(samples: Samples): PartReport;
}

/** Runs `measure` for each contender in each round, every round beginning with another one: what else the machine does hits all alike. */
export async function inTurns<T>(
  {rounds, signal}: Pick<EdgeBench, 'rounds' | 'signal'>,
  contenders: readonly T[],
  measure: (contender: T, round: number) => Promise<void>,
): Promise<void> {
  for (let round = 1; round <= rounds; round++) {
    const first = round % contenders.length;
    for (const contender of [...contenders.slice(first), ...contenders.slice(0, first)]) {
      signal.throwIfAborted();
      await measure(contender, round);
    }
  }
}
