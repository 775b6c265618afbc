/** What is known of the terminal that a command prints to. */
import {styleText} from 'node:util';

export type Style = Exclude<Parameters<typeof styleText>[0], readonly unknown[]>;

/** Colours only on a terminal that has them; `NO_COLOR` and `FORCE_COLOR` count. */
export function styled(text: string, style: Style | null): string {
  return style === null ? text : styleText(style, text, {stream: process.stdout});
}

/** Whether `styled()` colours. */
export function hasColours(): boolean {
  return styled('x', 'red') !== 'x';
}

/**
 * How many columns a line may have: `COLUMNS`, else the width of the terminal.
 * @returns infinity where nobody has said, as in a pipe: what reads it wants all
 */
export function lineWidth(
  stream: {readonly isTTY?: boolean; readonly columns?: number} = process.stdout,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): number {
  const said = Number(environment['COLUMNS']);
  if (Number.isSafeInteger(said) && said > 0) return said;
  return stream.isTTY === true && stream.columns !== undefined && stream.columns > 0 ? stream.columns : Number.POSITIVE_INFINITY;
}
