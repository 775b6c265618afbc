import test from 'ava';
import {trafficOf} from '../../src/cli/top-handler.ts';
import type {TopApp, TopSample} from '../../src/cli/top-sample.ts';
import {type Action, drawn, firstView, pressed, shownApps, type View} from '../../src/cli/top-screen.ts';
import {appName} from '../../src/core/ids.ts';
import {decodeRecord} from '../../src/store/app-record.ts';

const atMs = 1_700_000_000_000;

function app(name: string, memoryBytes: number | null): TopApp {
  const state = memoryBytes === null ? 'hibernated' : 'running';
  const empty = ['lastWake', 'lastHibernate', 'lastError', 'details', 'pin'].map((field) => [field, 'null'] as const);
  const fields = new Map([
    ['state', state],
    ['residency', 'warm'],
    ['generation', ''],
    ['worker', ''],
    ['index', '1'],
    ['since', String(atMs - 5000)],
    ...empty,
  ]);
  return {record: decodeRecord(appName(name), 'key', fields), isPinned: false, memoryBytes, bytesPerSecond: null, trafficBytes: null};
}

const sample: TopSample = {atMs, apps: [app('wiki', 2048), app('blog', null), app('mail', 4096)], workers: 1};

function after(keys: readonly string[]): {view: View; action: Action | null} {
  let result: {view: View; action: Action | null} = {view: firstView, action: null};
  for (const key of keys) result = pressed(key, result.view, sample);
  return result;
}

const names = (view: View): string[] => shownApps(sample, view).map(({record}) => record.name);

test('keys move, filter, sort and act on the app that is chosen', (t) => {
  t.deepEqual(after(['h']).action, {kind: 'hibernate', app: 'blog'});
  t.deepEqual(after(['j', '\x1b[B', 'j', 'p']).action, {kind: 'pin', app: 'wiki'});
  t.deepEqual(after(['j', 'k', 'w']).action, {kind: 'wake', app: 'blog'});
  t.deepEqual(names(after(['/', 'i', 'k', 'x', '\x7f']).view), ['wiki']);
  t.deepEqual(after(['/', 'm', '\r', 'w']).action, {kind: 'wake', app: 'mail'});
  t.deepEqual(names(after(['/', 'z', '\x1b']).view), ['blog', 'mail', 'wiki']);
  t.deepEqual(names(after(['s', 's']).view), ['mail', 'wiki', 'blog']);
  t.is(after(['/', 'q']).action, null);
  for (const keys of [['q'], ['/', '\x03']]) t.deepEqual(after(keys).action, {kind: 'quit'});
});

test('the screen never has more lines or columns than the terminal', (t) => {
  const many: TopSample = {...sample, apps: Array.from({length: 40}, (_, at) => app(`app-with-a-long-name-${at}`, at * 1000))};
  for (const [width, height] of [
    [120, 30],
    [40, 8],
  ] as const) {
    const lines = drawn(many, {...firstView, selected: 'app-with-a-long-name-9', said: 'done'}, {width, height});
    t.true(lines.length <= height, `${lines.length} of ${height}`);
    t.true(lines.some((line) => line.startsWith('app-with-a-')));
    for (const line of lines) t.true(line.length <= width, line);
  }
  t.regex(
    drawn(sample, firstView, {width: 100, height: 20}).join('\n'),
    /3 apps, 2 awake, 6\.0 KiB, 1 worker\n\nAPP +STATE[^\n]*\nblog +hibernated +5 s ago +-/,
  );
});

test('traffic is that of all interfaces but the loopback', (t) => {
  const text = 'Inter-| Receive\n face |bytes\n    lo:  999 1 0 0 0 0 0 0 999 1 0\n  eth0: 100 2 0 0 0 0 0 0 50 1 0 0 0 0 0 0\n';
  t.deepEqual(trafficOf(text), {receivedBytes: 100, sentBytes: 50});
});
