import test from 'ava';
import {Board} from '../../src/admin/dashboard/board.ts';
import {Dashboard, type DashboardReply} from '../../src/admin/dashboard/dashboard.ts';
import type {AppSummary, DashboardSource} from '../../src/admin/dashboard/dashboard-source.ts';
import type {GatewayControl} from '../../src/admin/gateway-control.ts';
import {escapeHtml} from '../../src/admin/html.ts';
import {statsPage, statsRequest} from '../../src/admin/stats-page.ts';
import type {StatsPage} from '../../src/config/proxy-value.ts';
import {systemClock} from '../../src/core/clock.ts';
import {createLog} from '../../src/core/log.ts';
import {fc} from '../helpers/properties.ts';
import {until} from '../helpers/until.ts';
import {memoryGateway} from './memory-gateway.ts';

const config: StatsPage = {
  uri: '/stats',
  realm: null,
  users: [],
  rules: [],
  refreshSeconds: 10,
  hideVersion: false,
  showNode: null,
  showDescription: null,
  showLegends: false,
  admin: [],
  scopes: [],
};

test('the address says which form is wanted', (t) => {
  t.deepEqual(statsRequest('/stats', config), {form: 'html', refresh: true, onlyUp: false, scope: ''});
  t.deepEqual(statsRequest('/stats;csv;norefresh', config), {form: 'csv', refresh: false, onlyUp: false, scope: ''});
  t.deepEqual(statsRequest('/stats;json', config), {form: 'json', refresh: true, onlyUp: false, scope: ''});
  t.deepEqual(statsRequest('/stats;up?x=1', config), {form: 'html', refresh: true, onlyUp: true, scope: ''});
  const absent = {uri: '/haproxy?stats'};
  t.deepEqual(statsRequest('/haproxy?stats;csv', absent), {form: 'csv', refresh: true, onlyUp: false, scope: ''});
  for (const path of ['/haproxy', '/haproxy?other', '/haproxy;csv?stats']) t.is(statsRequest(path, absent), null, path);
  for (const path of ['/', '/statistics', '/stats/x', '/other;csv']) t.is(statsRequest(path, config), null, path);
});

test('the page has a row for each frontend, backend, server and app, and nothing of what they are called is markup', (t) => {
  const evil = '<img src=x onerror="alert(1)">';
  const control = memoryGateway({
    apps: [
      {
        name: 'wiki',
        state: 'hibernated',
        address: '10.77.0.5',
        lastWake: {atMs: Date.now() - 5000, tookMs: 31.4, trigger: evil},
        lastHibernate: null,
        lastError: evil,
        pinned: null,
        wake: async () => undefined,
        hibernate: async () => 'hibernated',
        pin: async () => undefined,
        unpin: async () => undefined,
      },
    ],
  });
  const {body, contentType, headers} = statsPage(control, {...config, showNode: '', showDescription: evil});
  t.is(contentType, 'text/html; charset=utf-8');
  for (const name of ['FRONTEND', 'BACKEND', 's1', 's2', 'dis', 'wiki', 'MAINT', 'node here', '31 ms']) t.true(body.includes(name), name);
  t.false(body.includes('<img'));
  t.false(body.includes('<script'));
  t.deepEqual(headers.slice(0, 2), [
    ['cache-control', 'no-cache'],
    ['refresh', '10'],
  ]);
  t.false(statsPage(control, {...config, hideVersion: true}).body.includes('2.6.0'));
});

test('scope, up and the other forms', (t) => {
  const control = memoryGateway();
  const scoped = statsPage(control, {...config, scopes: ['tl']}, {form: 'csv', refresh: false, onlyUp: false, scope: ''});
  t.true(scoped.body.startsWith('# pxname,svname,'));
  t.is(scoped.body.trimEnd().split('\n').length, 4);
  t.deepEqual(scoped.headers, [['cache-control', 'no-cache']]);
  t.false(statsPage(control, config, {form: 'csv', refresh: false, onlyUp: true, scope: ''}).body.includes('bk,dis,'));
  const rows = JSON.parse(statsPage(control, config, {form: 'json', refresh: false, onlyUp: false, scope: ''}).body) as unknown[];
  t.is(rows.length, 8);
});

test('escapeHtml() leaves nothing that a browser takes for markup', (t) => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      t.notRegex(escapeHtml(text), /[<>"']/);
    }),
  );
  t.is(escapeHtml(`a&b<c>"d"'`), 'a&amp;b&lt;c&gt;&quot;d&quot;&#39;');
});

test('a board gives each viewer what has changed since it looked last', async (t) => {
  const board = new Board();
  await board.replace([
    ['a', 1],
    ['b', {x: 1}],
  ]);
  const {version} = board;
  await board.replace([
    ['a', 1],
    ['b', {x: 1}],
  ]);
  t.is(board.version, version, 'nothing new');
  await board.replace([
    ['b', {x: 2}],
    ['c', 3],
  ]);
  const {set, gone} = board.since(version);
  t.deepEqual(
    [...set],
    [
      ['b', '{"x":2}'],
      ['c', '3'],
    ],
  );
  t.deepEqual(gone, ['a']);
  t.deepEqual([[...board.since(0).set.keys()], board.since(0).gone], [['b', 'c'], []]);
});

/** One app that is in scope and one that is not, whose states can be changed. */
function dashboardLab(): {dashboard: Dashboard; control: GatewayControl; apps: {name: string; state: string}[]; looks: () => number} {
  const control = memoryGateway();
  const apps = [
    {name: 'wiki', state: 'hibernated'},
    {name: 'other', state: 'hibernated'},
  ];
  let looks = 0;
  const rest: Omit<AppSummary, 'name' | 'state'> = {
    residence: 'warm',
    pinned: null,
    busy: 0,
    memoryBytes: null,
    lastWake: null,
    lastHibernate: null,
    lastError: null,
    worker: null,
  };
  const source: DashboardSource = {
    async apps() {
      looks++;
      return apps.map((app) => ({...app, ...rest}));
    },
    workers: async () => [],
    facts: async () => ({}),
    app: async (name) => ({name}),
    act: async () => 'done',
    memory: async () => [],
    lastEvents: async () => [],
    async *followEvents(_after, signal) {
      if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve, {once: true}));
      yield* [];
    },
  };
  const dashboard = new Dashboard({source: () => source, control, clock: systemClock, log: createLog('silent')});
  return {dashboard, control, apps, looks: () => looks};
}

function asked(dashboard: Dashboard, uri: string, page: StatsPage = config): DashboardReply | null {
  return dashboard.answer({page, uri, method: 'GET', header: () => null, isAdmin: false});
}

test('a slow viewer is sent what is new when it has taken what it got; so many may follow at a time, and nobody looks for nobody', async (t) => {
  const {dashboard, apps, looks} = dashboardLab();
  const streams: {drained(): void; over(): void}[] = [];
  const written: string[] = [];
  let isSlow = true;
  const sink = {
    write(chunk: Buffer) {
      written.push(chunk.toString());
      return !isSlow;
    },
    end: () => undefined,
  };
  const follow = (): boolean => {
    const reply = asked(dashboard, '/stats;events');
    if (reply?.kind !== 'stream') return false;
    streams.push(reply.open(sink));
    return true;
  };
  t.is(looks(), 0);
  t.true(follow());
  await until(() => written.length === 1);
  t.regex(written[0] ?? '', /^event: change\ndata: \{"you":\{"isAdmin":false,"token":null,.*"app\/wiki":\{"name":"wiki","state":"hibernated",.*\}\n\n$/);
  Object.assign(apps[0] ?? {}, {state: 'running'});
  const before = looks();
  await until(() => looks() > before + 1);
  t.is(written.length, 1, 'it has not taken the first');
  isSlow = false;
  streams[0]?.drained();
  t.is(written.length, 2);
  t.regex(written[1] ?? '', /"set":\{.*"app\/wiki":\{"name":"wiki","state":"running"/);
  t.false(written[1]?.includes('app/other'), 'what has not changed is not sent again');
  while (follow());
  t.is(streams.length, 32);
  t.is(asked(dashboard, '/stats;events')?.kind, 'later', 'it is refused');
  for (const stream of streams) stream.over();
  const after = looks();
  await new Promise((resolve) => setTimeout(resolve, 1500));
  t.true(looks() <= after + 1);
  dashboard[Symbol.dispose]();
});

test('the dashboard takes its own addresses only, and its scope is that of the page', async (t) => {
  const {dashboard} = dashboardLab();
  for (const uri of ['/stats;csv', '/stats;up', '/stats;norefresh', '/stats', '/other;events', '/stats;page.html', '/stats;../main.ts'])
    t.is(asked(dashboard, uri), null, uri);
  const read = async (uri: string, page: StatsPage): Promise<{status: number; text: string}> => {
    const reply = asked(dashboard, uri, page);
    if (reply?.kind !== 'later') throw new Error(`no answer to ${uri}`);
    const {status, body} = await reply.make();
    return {status, text: body.toString()};
  };
  const scoped = {...config, scopes: ['tl']};
  const state = JSON.parse((await read('/stats;state', scoped)).text) as {set: Record<string, unknown>};
  t.deepEqual(Object.keys(state.set), ['gateway', 'proxy/tl']);
  t.is((await read('/stats;app=wiki', scoped)).status, 404);
  t.is((await read('/stats;app=wiki', config)).status, 200);
  t.is(asked(dashboard, '/stats;memory', scoped), null);
  const module = await read('/haproxy?stats;main.js', {...config, uri: '/haproxy?stats'});
  t.regex(module.text, /from '\/haproxy\?stats;preact\.js'/);
  t.notRegex(module.text, /from ['"](?:\.|preact)/);
  dashboard[Symbol.dispose]();
});

test('thousands of apps come in pieces, between which a viewer may be slow and others get their turn', async (t) => {
  const {dashboard, apps} = dashboardLab();
  for (let at = 0; at < 3000; at += 1) apps.push({name: `app-${at}`, state: 'hibernated'});
  const written: string[] = [];
  const reply = asked(dashboard, '/stats;events');
  if (reply?.kind !== 'stream') return void t.fail();
  const stream = reply.open({write: (chunk: Buffer) => written.push(chunk.toString()) % 2 === 0, end: () => undefined});
  const shown = new Map<string, unknown>();
  await until(() => {
    if (written.length > 0) stream.drained();
    return written.some((text) => text.includes('"app/app-2999"'));
  });
  for (const [at, text] of written.entries()) {
    const change = JSON.parse(text.slice('event: change\ndata: '.length)) as {whole: boolean; set: Record<string, unknown>; you?: unknown};
    t.deepEqual([change.whole, change.you !== undefined], [at === 0, at === 0]);
    t.true(text.length < 100_000, `${text.length}`);
    for (const [name, value] of Object.entries(change.set)) shown.set(name, value);
  }
  t.true(written.length > 5);
  t.is([...shown.keys()].filter((name) => name.startsWith('app/')).length, apps.length);
  stream.over();
  dashboard[Symbol.dispose]();
});

test('servers are changed by those who may, as on the page of HAProxy', async (t) => {
  const {dashboard, control} = dashboardLab();
  const request = {page: config, method: 'POST', uri: '/stats;state', header: (_name: string): string | null => null, isAdmin: true};
  const read = async (asked: Partial<typeof request>): Promise<{status: number; json: Record<string, unknown>}> => {
    const reply = dashboard.answer({...request, ...asked});
    if (reply?.kind !== 'later') throw new Error('no answer');
    const {status, body} = await reply.make();
    return {status, json: JSON.parse(body.toString()) as Record<string, unknown>};
  };
  const {you} = (await read({method: 'GET'})).json as {you: {token: string}};
  const header = (name: string): string | null => (name === 'x-picogate-token' ? you.token : null);
  const server = [...control.backends()].flatMap((backend) => [...backend.servers()].map((one) => ({path: `${backend.name}/${one.name}`, one})))[0];
  if (server === undefined) return void t.fail();
  const uri = `/stats;server-drain=${encodeURIComponent(server.path)}`;
  t.is((await read({uri, header, isAdmin: false})).status, 403);
  t.is((await read({uri})).status, 403);
  t.is((await read({uri, header, page: {...config, scopes: ['other']}})).status, 409);
  t.is(server.one.administrative, 'ready');
  t.deepEqual(await read({uri, header}), {status: 200, json: {result: null}});
  t.is(server.one.administrative, 'drain');
  await read({uri: uri.replace('drain', 'down'), header});
  t.is(server.one.health, 'down');
  t.deepEqual(await read({uri: '/stats;server-maint=bk/none', header}), {status: 409, json: {error: 'No such server.'}});
  dashboard[Symbol.dispose]();
});
