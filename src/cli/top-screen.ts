/** The screen of `picogate top` as pure functions: what a key does, and what is drawn. */
import {ago, bytes, milliseconds} from './format.ts';
import {type Column, listingTable, sorted} from './listing.ts';
import {stateStyle} from './state-style.ts';
import {styled} from './terminal.ts';
import type {TopApp, TopSample} from './top-sample.ts';

export interface View {
  /** The name of the app on which the keys work; null: the first one. */
  readonly selected: string | null;
  /** A column, see `listing.ts`. */
  readonly sort: string;
  readonly filter: string;
  /** The filter is being written. */
  readonly isTyping: boolean;
  /** What the last key has led to. */
  readonly said: string;
}

export interface AppAction {
  readonly kind: 'wake' | 'hibernate' | 'pin' | 'unpin';
  readonly app: string;
}

export type Action = {readonly kind: 'quit'} | {readonly kind: 'suspend'} | AppAction;

export const firstView: View = {selected: null, sort: 'name', filter: '', isTyping: false, said: ''};

/** Most first, but for names and states. */
const sorts: readonly string[] = ['name', 'state', '-memory_bytes', '-bytes_per_second', '-last_wake_ms', '-since'];

export function topColumns(nowMs: number): readonly Column<TopApp>[] {
  return [
    {head: 'APP', name: 'name', value: ({record}) => record.name, shortest: 12},
    {
      head: 'STATE',
      name: 'state',
      value: ({record}) => record.state,
      text: ({record, isPinned}) => (isPinned ? `${record.state} (pinned)` : record.state),
      style: ({record}) => stateStyle(record.state),
    },
    {head: 'SINCE', name: 'since', value: ({record}) => record.since, text: ({record}) => ago(record.since, nowMs), rank: 3},
    {
      head: 'MEMORY',
      name: 'memory_bytes',
      value: ({memoryBytes}) => memoryBytes,
      text: ({memoryBytes}) => (memoryBytes === null ? '-' : bytes(memoryBytes)),
      rank: 1,
    },
    {
      head: 'TRAFFIC',
      name: 'bytes_per_second',
      value: ({bytesPerSecond}) => bytesPerSecond,
      text: ({bytesPerSecond}) => (bytesPerSecond === null ? '-' : `${bytes(Math.round(bytesPerSecond))}/s`),
      rank: 2,
    },
    {
      head: 'LAST WAKE',
      name: 'last_wake_ms',
      value: ({record}) => record.lastWake?.ms ?? null,
      text: ({record}) => (record.lastWake === null ? '-' : milliseconds(record.lastWake.ms)),
      rank: 4,
    },
    {head: 'BY', name: 'last_wake_trigger', value: ({record}) => record.lastWake?.trigger ?? null, rank: 6, shortest: 10},
    {head: 'WORKER', name: 'worker', value: ({record}) => record.worker, rank: 5, shortest: 8},
  ];
}

/** The apps that are shown, in their order. */
export function shownApps({apps, atMs}: TopSample, {filter, sort}: View): readonly TopApp[] {
  const wanted = apps.filter(({record}) => record.name.includes(filter) || record.state.includes(filter));
  return sorted({columns: topColumns(atMs), rows: sorted({columns: topColumns(atMs), rows: wanted}, 'name')}, sort);
}

function positionOf(shown: readonly TopApp[], {selected}: View): number {
  return Math.max(
    0,
    shown.findIndex(({record}) => record.name === selected),
  );
}

/** @param key as a terminal sends it */
export function pressed(key: string, view: View, sample: TopSample): {readonly view: View; readonly action: Action | null} {
  if (key === '\x03') return {view, action: {kind: 'quit'}};
  if (view.isTyping) return {view: typed(key, view), action: null};
  const shown = shownApps(sample, view);
  const at = positionOf(shown, view);
  const moved = (to: number): {view: View; action: null} => ({
    view: {...view, selected: shown[Math.min(shown.length - 1, Math.max(0, to))]?.record.name ?? null, said: ''},
    action: null,
  });
  const current = shown[at];
  switch (key) {
    case 'q':
      return {view, action: {kind: 'quit'}};
    case '\x1a':
      return {view, action: {kind: 'suspend'}};
    case 'j':
    case '\x1b[B':
    case '\x1bOB':
      return moved(at + 1);
    case 'k':
    case '\x1b[A':
    case '\x1bOA':
      return moved(at - 1);
    case '/':
      return {view: {...view, isTyping: true, filter: '', said: ''}, action: null};
    case 's':
      return {view: {...view, sort: sorts[(sorts.indexOf(view.sort) + 1) % sorts.length] ?? 'name', said: ''}, action: null};
    default:
      return {view, action: current === undefined ? null : actionOf(key, current)};
  }
}

function actionOf(key: string, {record, isPinned}: TopApp): Action | null {
  const app = record.name;
  if (key === 'w') return {kind: 'wake', app};
  if (key === 'h') return {kind: 'hibernate', app};
  return key === 'p' ? {kind: isPinned ? 'unpin' : 'pin', app} : null;
}

function typed(key: string, view: View): View {
  if (key === '\r' || key === '\n') return {...view, isTyping: false};
  if (key === '\x1b') return {...view, isTyping: false, filter: ''};
  if (key === '\x7f' || key === '\b') return {...view, filter: view.filter.slice(0, -1)};
  return /^[\x20-\x7e]+$/.test(key) ? {...view, filter: view.filter + key} : view;
}

/** Lines that fill a terminal of that size at most. */
export function drawn(sample: TopSample, view: View, {width, height}: {readonly width: number; readonly height: number}): string[] {
  const shown = shownApps(sample, view);
  const awake = sample.apps.filter(({record}) => record.state === 'running');
  const memory = awake.reduce((sum, {memoryBytes}) => sum + (memoryBytes ?? 0), 0);
  const head = `picogate top  ${new Date(sample.atMs).toISOString().slice(11, 19)}Z  ${sample.apps.length} apps, ${awake.length} awake, ${bytes(memory)}, ${sample.workers === 1 ? '1 worker' : `${sample.workers} workers`}`;
  const [columnHeads = '', ...rows] = listingTable({columns: topColumns(sample.atMs), rows: shown}, width)
    .trimEnd()
    .split('\n');
  const at = positionOf(shown, view);
  const room = Math.max(1, height - 5);
  const from = Math.max(0, Math.min(at - Math.floor(room / 2), rows.length - room));
  const visible = rows.slice(from, from + room).map((row, index) => (from + index === at ? styled(row.padEnd(Math.min(width, 200)), 'inverse') : row));
  const keys = view.isTyping
    ? `filter: ${view.filter}_`
    : `q quit  j/k move  w wake  h hibernate  p pin  / filter${view.filter === '' ? '' : ` (${view.filter})`}  s sort (${view.sort})`;
  return [
    head.slice(0, width),
    '',
    styled(columnHeads, 'bold'),
    ...visible,
    ...(view.said === '' ? [] : [view.said.slice(0, width)]),
    styled(keys.slice(0, width), 'dim'),
  ];
}
