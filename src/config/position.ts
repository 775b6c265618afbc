/** Where a word begins; `line` and `column` count from 1, columns in characters. */
export interface Position {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

/** A place that a message refers to: `a.cfg:12`. */
export function describePosition({file, line}: Position): string {
  return `${file}:${line}`;
}
