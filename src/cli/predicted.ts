import {CodedError} from '../core/errors.ts';
import type {Json} from '../store/json.ts';
import {addressPicture, pictureLegend} from './address-picture.ts';
import {type Column, type DisplayOptions, display, listingCsv, listingTable} from './listing.ts';
import {command} from './remote.ts';
import {hasColours} from './terminal.ts';

interface PredictedOptions extends DisplayOptions {
  /** Which address space to draw; undefined for that of the app as a whole. */
  readonly trigger: string | undefined;
}

/** Which pages an app is expected to touch, by trigger, and how well that was foreseen. @returns the exit status */
export async function predicted(files: readonly string[] | undefined, name: string, {trigger, ...options}: PredictedOptions): Promise<number> {
  return display(options, async () => {
    const report = await command(files, 'predicted', {name}, 10_000);
    return {
      json: report,
      text: (width) => describePrediction(report, {trigger, colours: hasColours(), width}),
      csv: (how) => listingCsv({columns, rows: listOf(report, 'triggers')}, how),
    };
  });
}

/** Of the triggers. */
const columns: readonly Column<Json>[] = [
  {head: 'TRIGGER', name: 'trigger', value: (found) => textOf(found, 'trigger'), text: (found) => textOf(found, 'trigger') ?? 'any'},
  {head: 'WAKES', name: 'wakes', value: (found) => numberOf(found, 'wakes')},
  {head: 'PAGES', name: 'pages', value: (found) => numberOf(found, 'pages')},
  {head: 'INSTALLED', name: 'installed_pages', value: (found) => numberOf(found, 'installedPages')},
  {head: 'HITS', name: 'hit_rate', value: (found) => numberOf(found, 'hitRate'), text: (found) => percent(numberOf(found, 'hitRate'))},
  {head: 'UNUSED', name: 'unused_share', value: (found) => numberOf(found, 'unusedShare'), text: (found) => percent(numberOf(found, 'unusedShare'))},
  {head: 'FAULTS LEFT', name: 'faults_left', value: (found) => numberOf(found, 'faultsLeft')},
];

/** @param options.width of a line, in characters. @throws CodedError when nothing is known of the trigger, or the report cannot be read */
export function describePrediction(
  report: Json,
  {trigger, colours, width}: {readonly trigger: string | undefined; readonly colours: boolean; readonly width: number},
): string {
  const triggers = listOf(report, 'triggers');
  if (numberOf(report, 'wakes') === 0) return 'nothing is known yet: it is learned when the app goes to sleep after a wake\n';
  const drawn = triggers.find((found) => textOf(found, 'trigger') === (trigger ?? null));
  if (drawn === undefined) {
    throw new CodedError('ERR_UNKNOWN_TRIGGER', `Cannot show trigger "${trigger ?? ''}": the app was not woken by it lately`, {source: 'client'});
  }
  const lines = [listingTable({columns, rows: triggers}, width).trimEnd(), ''];
  for (const found of listOf(drawn, 'processes')) {
    const blocks = listOf(found, 'blocks').map(asBlock);
    lines.push(`process ${numberOf(found, 'pid')}, ${numberOf(found, 'pages')} pages`);
    lines.push(...addressPicture({blockBytes: numberOf(found, 'blockBytes') ?? 0, blocks}, {colours}).map((line) => `  ${line}`), '');
  }
  return `${lines.join('\n')}\n${pictureLegend}\n`;
}

function percent(share: number | null): string {
  return share === null ? '-' : `${(share * 100).toFixed(1)} %`;
}

function field(value: Json, name: string): Json {
  const found: unknown = typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
  if (found === undefined) throw new CodedError('ERR_BAD_ANSWER', `Cannot read the gateway's answer: it has no "${name}"`, {source: 'server'});
  return found as Json;
}

function listOf(value: Json, name: string): readonly Json[] {
  const found = field(value, name);
  return Array.isArray(found) ? (found as readonly Json[]) : [];
}

function numberOf(value: Json, name: string): number | null {
  const found = field(value, name);
  return typeof found === 'number' ? found : null;
}

function textOf(value: Json, name: string): string | null {
  const found = field(value, name);
  return typeof found === 'string' ? found : null;
}

function asBlock(value: Json): readonly [number, number] {
  const [address, pages] = Array.isArray(value) ? (value as readonly Json[]) : [];
  return [Number.parseInt(typeof address === 'string' ? address : '', 16), typeof pages === 'number' ? pages : 0];
}
