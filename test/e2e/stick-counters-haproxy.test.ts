/** Counters of stick tables that rules change, and what they decide: the same requests to Debian's HAProxy and to our program. */
import {existsSync} from 'node:fs';
import {join} from 'node:path';
import test from 'ava';
import {askSocket} from '../admin/stats-client.ts';
import {rawExchange} from '../edge/http/raw-client.ts';
import {startPair, type Twin} from '../helpers/program-pair.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';

const pairTest = existsSync('/usr/sbin/haproxy') ? test : test.skip;

const configuration = `
global
  stats socket \${DIR}/admin.sock mode 600 level admin
defaults
  mode http
  timeout client 5s
  timeout server 5s
  timeout connect 5s
backend users
  stick-table type string len 32 size 100 expire 1m store gpc0,gpc0_rate(1m),gpc1,gpt0
backend rates
  stick-table type string len 32 size 100 expire 1m store gpc0_rate(1m)
backend sources
  stick-table type ip size 100 expire 1m store gpc0,gpc1_rate(1m)
frontend web
  bind 127.0.0.1:\${WEB}
  http-request track-sc0 req.hdr(x-user) table users
  http-request track-sc1 req.hdr(x-user) table rates
  http-request sc-inc-gpc0(0) if { path_beg /count }
  http-request sc-inc-gpc1(0) if { path_beg /count }
  http-request sc-inc-gpc0(1) if { path_beg /count }
  http-request sc-inc-gpc0 if { path /default }
  http-request sc-set-gpt0(0) 7 if { path /tag }
  http-request sc-set-gpt0(0) req.hdr(x-tag) if { path /tag-as }
  http-request sc-set-gpt0(1) 7 if { path /tag }
  http-request deny deny_status 429 if { path /limited } { sc0_inc_gpc0 gt 2 }
  http-request deny deny_status 403 if { path /source } { src_inc_gpc0(sources) gt 1 }
  http-request deny deny_status 401 if { path /source-rate } { src_inc_gpc1(sources) gt 1 }
  http-request deny deny_status 400 if { path /clear } { sc_clr_gpc0(0) gt 0 }
  http-request deny deny_status 404 if { path /source-clear } { src_clr_gpc0(sources) gt 0 }
  http-request deny deny_status 405 if { path /inc-rate } { sc1_inc_gpc0 gt 0 }
  http-response sc-inc-gpc1(0) if { path /never }
  http-request return status 200 content-type text/plain lf-string "%[sc_get_gpc0(0)] %[sc_get_gpc1(0)] %[sc_get_gpt0(0)] %[sc_gpc0_rate(0)] %[sc_gpc0_rate(1)] %[src_get_gpc0(sources)]"
`;

const requests: readonly (readonly [path: string, ...fields: readonly string[]])[] = [
  ['/', 'X-User: a'],
  ['/count', 'X-User: a'],
  ['/count', 'X-User: a'],
  ['/count', 'X-User: b'],
  ['/count'],
  ['/default', 'X-User: a'],
  ['/tag', 'X-User: a'],
  ['/tag-as', 'X-User: a', 'X-Tag: 12 and more'],
  ['/tag-as', 'X-User: a', 'X-Tag: none'],
  ['/tag-as', 'X-User: b'],
  ['/tag'],
  ['/limited', 'X-User: c'],
  ['/limited', 'X-User: c'],
  ['/limited', 'X-User: c'],
  ['/limited', 'X-User: d'],
  ['/limited'],
  ['/clear', 'X-User: c'],
  ['/clear', 'X-User: c'],
  ['/limited', 'X-User: c'],
  ['/inc-rate', 'X-User: e'],
  ['/source-clear'],
  ['/source'],
  ['/source'],
  ['/source-clear'],
  ['/source'],
  ['/source-rate'],
  ['/source-rate'],
];

async function course(twin: Twin): Promise<readonly string[]> {
  const seen: string[] = [];
  for (const [path, ...fields] of requests) {
    const text = await rawExchange(
      twin.port('WEB'),
      `GET ${path} HTTP/1.1\r\nHost: counters.test\r\n${fields.map((field) => `${field}\r\n`).join('')}Connection: close\r\n\r\n`,
    );
    const status = text.slice(9, 12);
    seen.push(`${path} ${fields.join(' ')}: ${status} ${status === '200' ? text.slice(text.indexOf('\r\n\r\n') + 4) : ''}`);
  }
  for (const table of ['users', 'rates', 'sources']) {
    const shown = await askSocket(join(twin.directory, 'admin.sock'), `show table ${table}\n`);
    const rows = shown.split('\n').filter((row) => row.includes('key='));
    seen.push(...rows.map((row) => row.replace(/^.*?(key=\S+).*?exp=\d+/, '$1')).sort((a, b) => a.localeCompare(b)));
  }
  return seen;
}

pairTest('rules count in stick tables, and decide by what they have counted', async (t) => {
  await using directory = await temporaryDirectory();
  await using pair = await startPair({configuration, ports: ['WEB'], values: {}, directory: directory.path});
  t.deepEqual(await course(pair.picogate), await course(pair.haproxy));
});
