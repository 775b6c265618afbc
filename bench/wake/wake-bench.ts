import type {BenchGateway} from '../bench-gateway.ts';
import type {Sample} from '../suite.ts';

/** What each part of the suite is given. */
export interface WakeBench {
  readonly rounds: number;
  readonly signal: AbortSignal;
  readonly gateway: BenchGateway;
  readonly record: (sample: Sample) => void;
  readonly progress: (text: string) => void;
}
