/** What one check of `picogate doctor` says. */
export interface Finding {
  readonly name: string;
  /** `warning`: works, with a drawback; `missing`: something that Picogate needs is not there. */
  readonly status: 'ok' | 'warning' | 'missing';
  readonly found: string;
  /** What a warning or a missing thing costs, and what to do. Null when all is well. */
  readonly cost: string | null;
}

/** One check. A thrown error counts as `missing` with `cost`, or as `warning` when Picogate works without. */
export interface Check {
  readonly name: string;
  readonly needed: boolean;
  /** What is lost when this check fails. */
  readonly cost: string;
  /** True for what only root can find out. */
  readonly asRoot: boolean;
  /** @returns what was found, and a drawback of it if there is one. Throws when it is not there. */
  probe(): Promise<{readonly found: string; readonly drawback?: string}>;
}
