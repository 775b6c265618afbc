import {CodedError} from '../core/errors.ts';
import type {Json} from '../store/json.ts';
import {addressPicture, pictureLegend} from './address-picture.ts';
import {table} from './format.ts';
import {command, printJson} from './remote.ts';
import {hasColours} from './terminal.ts';

interface PredictedOptions {
  readonly json: boolean;
  /** Which address space to draw; undefined for that of the app as a whole. */
  readonly trigger: string | undefined;
}

/** Which pages an app is expected to touch, by trigger, and how well that was foreseen. @returns the exit status */
export async function predicted(files: readonly string[] | undefined, name: string, {json, trigger}: PredictedOptions): Promise<number> {
  const report = await command(files, 'predicted', {name}, 10_000);
  if (json) printJson(report);
  else process.stdout.write(describePrediction(report, {trigger, colours: hasColours()}));
  return 0;
}

/** @throws CodedError when nothing is known of the trigger, or the report cannot be read */
export function describePrediction(report: Json, {trigger, colours}: {readonly trigger: string | undefined; readonly colours: boolean}): string {
  const triggers = listOf(report, 'triggers');
  const rows = triggers.map((found) => [
    textOf(found, 'trigger') ?? 'any',
    String(numberOf(found, 'wakes')),
    String(numberOf(found, 'pages')),
    String(numberOf(found, 'installedPages')),
    percent(numberOf(found, 'hitRate')),
    percent(numberOf(found, 'unusedShare')),
    String(numberOf(found, 'faultsLeft')),
  ]);
  if (numberOf(report, 'wakes') === 0) return 'nothing is known yet: it is learned when the app goes to sleep after a wake\n';
  const drawn = triggers.find((found) => textOf(found, 'trigger') === (trigger ?? null));
  if (drawn === undefined) {
    throw new CodedError('ERR_UNKNOWN_TRIGGER', `Cannot show trigger "${trigger ?? ''}": the app was not woken by it lately`, {source: 'client'});
  }
  const lines = [table(['TRIGGER', 'WAKES', 'PAGES', 'INSTALLED', 'HITS', 'UNUSED', 'FAULTS LEFT'], rows).trimEnd(), ''];
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
