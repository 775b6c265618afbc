/** Tables that fit the terminal: what matters least is left out, then what is long is shortened. */
import {stripVTControlCharacters} from 'node:util';
import Table from 'cli-table3';

export interface TableColumn {
  readonly head: string;
  /** The greatest goes first when there is no room; 0: always shown. */
  readonly rank: number;
  /** To how many characters it may be shortened; null: it is not. */
  readonly shortest: number | null;
}

const gap = 2;
const sides = ['top', 'bottom', 'left', 'right'];
const parts = [...sides, ...sides.map((side) => `${side}-mid`), 'top-left', 'top-right', 'bottom-left', 'bottom-right', 'mid', 'mid-mid', 'middle'];
const noBorders = Object.fromEntries(parts.map((part) => [part, '']));

function widthOf(text: string): number {
  return stripVTControlCharacters(text).length;
}

/** Numbers of the columns that are shown, with their widths. The widest that can be shortened give way until all fit, or none can any more. */
export function fitColumns(columns: readonly TableColumn[], widths: readonly number[], width: number): {at: number; width: number}[] {
  const all = columns.map(({rank, shortest}, at) => ({at, rank, shortest, width: widths[at] ?? 0}));
  const least = (column: {readonly shortest: number | null; readonly width: number}): number => Math.min(column.width, column.shortest ?? column.width);
  const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0) + gap * Math.max(0, numbers.length - 1);
  let shown = all;
  while (sum(shown.map(least)) > width) {
    const worst = shown.reduce((a, b) => (b.rank >= a.rank ? b : a));
    if (worst.rank === 0) break;
    shown = shown.filter((column) => column !== worst);
  }
  for (let excess = sum(shown.map((column) => column.width)) - width; excess > 0; excess -= 1) {
    const longest = shown
      .filter((column) => column.width > least(column))
      .reduce<(typeof all)[number] | null>((a, b) => (a !== null && a.width > b.width ? a : b), null);
    if (longest === null) break;
    longest.width -= 1;
  }
  return shown.map((column) => ({at: column.at, width: column.width}));
}

/** Columns without borders. @param width of a line, in characters; may be infinite. @returns lines, the last one with its end */
export function fittedTable(columns: readonly TableColumn[], rows: readonly (readonly string[])[], width: number): string {
  const natural = columns.map(({head}, at) => Math.max(widthOf(head), ...rows.map((row) => widthOf(row[at] ?? ''))));
  const shown = fitColumns(columns, natural, width);
  const drawn = new Table({
    head: shown.map(({at}) => columns[at]?.head ?? ''),
    colWidths: shown.map((column) => column.width + gap),
    style: {head: [], border: [], 'padding-left': 0, 'padding-right': gap},
    chars: noBorders,
  });
  drawn.push(...rows.map((row) => shown.map(({at}) => row[at] ?? '')));
  return `${drawn.toString().replace(/[ \t]+$/gm, '')}\n`;
}
