import test from 'ava';
import fc from 'fast-check';
import {escapeHtml} from '../../src/admin/html.ts';
import {statsPage, statsRequest} from '../../src/admin/stats-page.ts';
import type {StatsPage} from '../../src/config/proxy-value.ts';
import {memoryGateway} from './memory-gateway.ts';

const config: StatsPage = {
  uri: '/stats',
  realm: null,
  users: [],
  refreshSeconds: 10,
  hideVersion: false,
  showNode: null,
  showDescription: null,
  showLegends: false,
  admin: [],
  scopes: [],
};

test('the address says which form is wanted', (t) => {
  t.deepEqual(statsRequest('/stats', config), {form: 'html', refresh: true, onlyUp: false});
  t.deepEqual(statsRequest('/stats;csv;norefresh', config), {form: 'csv', refresh: false, onlyUp: false});
  t.deepEqual(statsRequest('/stats;json', config), {form: 'json', refresh: true, onlyUp: false});
  t.deepEqual(statsRequest('/stats;up?x=1', config), {form: 'html', refresh: true, onlyUp: true});
  const absent = {uri: '/haproxy?stats'};
  t.deepEqual(statsRequest('/haproxy?stats;csv', absent), {form: 'csv', refresh: true, onlyUp: false});
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
  const scoped = statsPage(control, {...config, scopes: ['tl']}, {form: 'csv', refresh: false, onlyUp: false});
  t.true(scoped.body.startsWith('# pxname,svname,'));
  t.is(scoped.body.trimEnd().split('\n').length, 4);
  t.deepEqual(scoped.headers, [['cache-control', 'no-cache']]);
  t.false(statsPage(control, config, {form: 'csv', refresh: false, onlyUp: true}).body.includes('bk,dis,'));
  const rows = JSON.parse(statsPage(control, config, {form: 'json', refresh: false, onlyUp: false}).body) as unknown[];
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
