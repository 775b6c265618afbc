/** Listings: a table for people, JSON, or comma-separated values; once, or again and again. */
import {setTimeout as pause} from 'node:timers/promises';
import {CodedError, errorMessage} from '../core/errors.ts';
import {fittedTable} from './fitted-table.ts';
import {lineWidth, type Style, styled} from './terminal.ts';

export type Cell = string | number | boolean | null;

export interface Column<Row> {
  readonly head: string;
  /** In CSV, and for `--sort`. Its unit comes last: `last_wake_ms`. */
  readonly name: string;
  readonly value: (row: Row) => Cell;
  /** For people; default: the value, `-` for null. */
  readonly text?: (row: Row) => string;
  readonly style?: (row: Row) => Style | null;
  /** The greatest is left out first where the terminal is too narrow; default 0: never. */
  readonly rank?: number;
  /** To how many characters it may be shortened; default: it is not. */
  readonly shortest?: number;
}

export interface Rows<Row> {
  readonly columns: readonly Column<Row>[];
  readonly rows: readonly Row[];
  /** The last row of the table, wherever the others are sorted to; comma-separated values leave it out. */
  readonly total?: Row;
}

export interface Listing<Row> extends Rows<Row> {
  /** What `--json` promises. */
  readonly json: (rows: readonly Row[]) => unknown;
  /** Default 0. */
  readonly exitStatus?: number;
}

export interface DisplayOptions {
  readonly json: boolean;
  /** Default false. */
  readonly csv?: boolean;
  /** Milliseconds between two looks; undefined: one look. */
  readonly watch?: number | undefined;
}

export interface ListingOptions extends DisplayOptions {
  /** The name of a column, with a minus in front for the other direction. */
  readonly sort?: string | undefined;
}

/** As RFC 4180 has it. */
export function csvLine(cells: readonly Cell[]): string {
  const texts = cells.map((cell) => (cell === null ? '' : String(cell)));
  return `${texts.map((text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text)).join(',')}\n`;
}

/** What is not known comes last. @throws CodedError ERR_UNKNOWN_COLUMN */
export function sorted<Row>({columns, rows}: Rows<Row>, sort: string): readonly Row[] {
  const isReversed = sort.startsWith('-');
  const column = columns.find(({name}) => name === (isReversed ? sort.slice(1) : sort));
  if (column === undefined) {
    const known = columns.map(({name}) => name).join(', ');
    throw new CodedError('ERR_UNKNOWN_COLUMN', `Cannot sort by "${sort}": there are ${known}`, {source: 'client'});
  }
  return [...rows].sort((a, b) => {
    const [left, right] = [column.value(a), column.value(b)];
    if (left === null || right === null) return Number(left === null) - Number(right === null);
    const order = typeof left === 'string' ? left.localeCompare(String(right)) : Number(left) - Number(right);
    return isReversed ? -order : order;
  });
}

/** @param width of a line, in characters */
export function listingTable<Row>({columns, rows, total}: Rows<Row>, width: number): string {
  const cells = (total === undefined ? rows : [...rows, total]).map((row) =>
    columns.map(({text, value, style}) => {
      const plain = text === undefined ? String(value(row) ?? '-') : text(row);
      return style === undefined ? plain : styled(plain, style(row));
    }),
  );
  const shapes = columns.map(({head, rank = 0, shortest = null}) => ({head, rank, shortest}));
  return fittedTable(shapes, cells, width);
}

export function listingCsv<Row>({columns, rows}: Rows<Row>, {withHead}: {withHead: boolean}): string {
  const head = withHead ? csvLine(columns.map(({name}) => name)) : '';
  return `${head}${rows.map((row) => csvLine(columns.map(({value}) => value(row)))).join('')}`;
}

/** Prints a listing, or one each `watch` until SIGINT. @returns the exit status */
export async function list<Row>(options: ListingOptions, collect: () => Promise<Listing<Row>>): Promise<number> {
  return display(options, async () => {
    const collected = await collect();
    const listing = options.sort === undefined ? collected : {...collected, rows: sorted(collected, options.sort)};
    return {
      json: listing.json(listing.rows),
      text: (width) => listingTable(listing, width),
      csv: (how) => listingCsv(listing, how),
      exitStatus: listing.exitStatus ?? 0,
    };
  });
}

/** What can be printed in each of these ways. */
export interface View {
  readonly json: unknown;
  /** @param width of a line, in characters */
  readonly text: (width: number) => string;
  /** Where it has columns. */
  readonly csv?: (how: {readonly withHead: boolean}) => string;
  /** Default 0. */
  readonly exitStatus?: number;
}

/** Prints it once, or each `watch` until SIGINT. @returns the exit status */
export async function display({json, csv = false, watch: everyMs}: DisplayOptions, look: () => Promise<View>): Promise<number> {
  if (everyMs === undefined) {
    const view = await look();
    if (json) process.stdout.write(`${JSON.stringify(view.json, null, 2)}\n`);
    else process.stdout.write((csv ? view.csv?.({withHead: true}) : undefined) ?? view.text(lineWidth()));
    return view.exitStatus ?? 0;
  }
  let round = 0;
  return watch(everyMs, async () => {
    const view = await look();
    round += 1;
    if (json) return {kind: 'lines', text: `${JSON.stringify(view.json)}\n`};
    const lines = csv ? view.csv?.({withHead: round === 1}) : undefined;
    return lines === undefined ? {kind: 'screen', draw: view.text} : {kind: 'lines', text: lines};
  });
}

export type Picture = {readonly kind: 'lines'; readonly text: string} | {readonly kind: 'screen'; readonly draw: (width: number) => string};

/**
 * Shows something again and again until SIGINT or SIGTERM. A gateway that does not answer for a while is waited for, but for the first time.
 * @returns the exit status
 */
export async function watch(everyMs: number, look: () => Promise<Picture>): Promise<number> {
  const stop = new AbortController();
  const end = (): void => stop.abort();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, end);
  let last: Picture | null = null;
  const redraw = (): void => {
    if (last !== null) show(last, everyMs);
  };
  process.stdout.on('resize', redraw);
  try {
    while (!stop.signal.aborted) {
      try {
        last = await look();
        redraw();
      } catch (error) {
        if (last === null) throw error;
        if (process.stdout.isTTY) show({kind: 'screen', draw: () => errorMessage(error)}, everyMs);
        else process.stderr.write(`picogate: ${errorMessage(error)}\n`);
      }
      await pause(everyMs, undefined, {signal: stop.signal}).catch(() => undefined); // Cut short by the signal that the loop looks for.
    }
  } finally {
    process.stdout.off('resize', redraw);
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, end);
  }
  return 0;
}

/** On a terminal in the place of what was there; elsewhere one below the other. */
function show(picture: Picture, everyMs: number): void {
  if (picture.kind === 'lines') return void process.stdout.write(picture.text);
  if (!process.stdout.isTTY) return void process.stdout.write(`${picture.draw(lineWidth())}\n`);
  const head = styled(`every ${everyMs / 1000} s, ${new Date().toISOString().slice(0, 19)}Z, Ctrl-C ends`, 'dim');
  const lines = [head, '', ...picture.draw(lineWidth()).trimEnd().split('\n')];
  const room = Math.max(3, process.stdout.rows - 1);
  const cut = lines.length > room ? [...lines.slice(0, room - 1), styled(`${lines.length - room + 1} more lines`, 'dim')] : lines;
  process.stdout.write(`\x1b[H${cut.map((line) => `${line}\x1b[K\n`).join('')}\x1b[J`);
}
