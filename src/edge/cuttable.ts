/** Why sessions are ended at their server, as the termination state has it: it went down, better ones came up, or somebody said so. */
export type CutCause = 'D' | 'U' | 'K';

export interface Cuttable {
  /** Ends the session, which releases its place. */
  cut(cause: CutCause): void;
}
