/** Tables for people, in plain text: the first column to the left, figures to the right. */

export interface Table {
  readonly title: string;
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

export function renderTable({title, head, rows}: Table): string {
  const widths = head.map((cell, column) => Math.max(cell.length, ...rows.map((row) => row[column]?.length ?? 0)));
  const line = (cells: readonly string[]): string =>
    widths.map((width, column) => (column === 0 ? (cells[column] ?? '').padEnd(width) : (cells[column] ?? '').padStart(width))).join('  ');
  const rule = widths.map((width) => '-'.repeat(width)).join('  ');
  return [title, '', ...[line(head), rule, ...rows.map(line)].map((text) => `  ${text.trimEnd()}`), ''].join('\n');
}

/** For a value that does not exist (no such case, nothing measured). */
export const nothing = '-';

export function fixed(value: number, digits = 1): string {
  return Number.isFinite(value) ? value.toFixed(digits) : nothing;
}

/** `64 KiB`, `1.5 MiB`. */
export function bytes(value: number): string {
  if (!Number.isFinite(value)) return nothing;
  const [unit, size] = value >= 2 ** 20 ? (['MiB', 2 ** 20] as const) : (['KiB', 2 ** 10] as const);
  return `${Number((value / size).toFixed(2))} ${unit}`;
}
