/** Arrays of counters and tags in stick tables: the same requests and commands to Debian's HAProxy and to our program. */
import {existsSync} from 'node:fs';
import {join} from 'node:path';
import test from 'ava';
import {askSocket} from '../admin/stats-client.ts';
import {rawExchange} from '../edge/http/raw-client.ts';
import {startPair, type Twin} from '../helpers/program-pair.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';

const pairTest = existsSync('/usr/sbin/haproxy') ? test : test.skip;

const tracked = `%[sc_get_gpc(0,0)] %[sc_get_gpc(2,0)] %[sc_get_gpc(3,0)] %[sc_get_gpc0(0)] %[sc0_get_gpc1]
  %[sc_gpc_rate(1,0)] %[sc_gpc_rate(2,0)] %[sc_gpc0_rate(0)] %[sc_gpc1_rate(0)] %[sc_get_gpt(0,0)] %[sc_get_gpt(1,0)] %[sc_get_gpt0(0)]`;
const single = '%[sc_get_gpc(0,1)] %[sc_get_gpc0(1)] %[sc1_kbytes_in] %[sc1_trackers] %[sc1_kbytes_out]';
const lookedUp = `%[req.hdr(user),table_gpc(0,arrays)] %[req.hdr(user),table_gpc(9,arrays)] %[req.hdr(user),table_gpc_rate(1,arrays)]
  %[req.hdr(user),table_gpt(1,arrays)] %[req.hdr(user),table_gpc0(arrays)] %[req.hdr(user),table_gpc(0,singles)]`;
const ofSource = '%[src_get_gpc(0,sources)] %[src_gpc_rate(0,sources)] %[src_get_gpt(0,sources)] %[src_get_gpc(7,sources)]';

const configuration = `
global
  stats socket \${DIR}/admin.sock mode 600 level admin
defaults
  mode http
  timeout client 5s
  timeout server 5s
  timeout connect 5s
backend arrays
  stick-table type string len 32 size 100 expire 1m store gpc(3),conn_cnt,gpc_rate(2,1m),gpt(2)
backend singles
  stick-table type string len 32 size 100 expire 1m store gpc0,bytes_in_cnt
backend sources
  stick-table type ip size 100 expire 1m store gpc(1),gpc_rate(1,1m)
frontend web
  bind 127.0.0.1:\${WEB}
  http-request track-sc0 req.hdr(user) table arrays
  http-request track-sc1 req.hdr(user) table singles
  http-request sc-inc-gpc(0,0) if { path /count }
  http-request sc-inc-gpc(2,0) if { path /count }
  http-request sc-inc-gpc(9,0) if { path /count }
  http-request sc-inc-gpc(0,1) if { path /count }
  http-request sc-inc-gpc0(0) if { path /first }
  http-request sc-inc-gpc1(0) if { path /second }
  http-request sc-set-gpt(1,0) 7 if { path /tag }
  http-request sc-set-gpt(0,0) req.hdr(tag) if { path /tag-as }
  http-request sc-set-gpt0(0) 3 if { path /tag-first }
  http-request deny deny_status 429 if { path /limited } { sc_inc_gpc(1,0) gt 2 }
  http-request deny deny_status 403 if { path /beyond } { sc_inc_gpc(9,0) ge 0 }
  http-request deny deny_status 401 if { path /clear } { sc_clr_gpc(1,0) gt 0 }
  http-request deny deny_status 400 if { path /clear-none } { sc1_clr_gpc(0) ge 0 }
  http-request deny deny_status 405 if { path /source } { src_inc_gpc(0,sources) gt 2 }
  http-request deny deny_status 410 if { path /source-clear } { src_clr_gpc(0,sources) gt 0 }
  http-response sc-inc-gpc(0,0) if { path /never }
  http-request return status 200 content-type text/plain lf-string "${[tracked, single, lookedUp, ofSource].join(' | ').replaceAll(/\n\s*/g, ' ')}"
`;

const steps: readonly string[] = [
  '/',
  '/ user: a',
  '/count user: a',
  '/count user: a',
  '/count user: b',
  '/count',
  '/first user: a',
  '/second user: a',
  '/tag user: a',
  '/tag-as user: a\r\ntag: 12',
  '/ user: a',
  '/tag-first user: a',
  '/limited user: c',
  '/limited user: c',
  '/limited user: c',
  '/limited user: d',
  '/clear user: c',
  '/clear user: c',
  '/limited user: c',
  '/beyond user: c',
  '/beyond',
  '/clear-none user: c',
  // HAProxy 2.6 crashes when it is to make this entry for src_inc_gpc.
  'set table sources key 127.0.0.1 data.gpc 1',
  '/source',
  '/source',
  '/source-clear',
  '/source-clear',
  '/',
  'set table arrays key new data.gpc 4 data.gpt 5 data.gpc_rate 6',
  '/ user: new',
  'set table singles key big data.bytes_in_cnt 5000',
  '/ user: big',
  'set table arrays key new data.gpz 4',
  'set table singles key new data.gpc 4',
  'show table singles data.gpt gt 4',
  'show table singles data.gpz gt 4',
  'show table arrays data.gpc gt 3',
  'show table arrays data.gpt gt 4',
  'show table arrays data.gpc_rate gt 2',
  'clear table arrays data.gpc gt 3',
  'show table arrays',
  'show table singles',
  'show table sources',
];

/** Without what differs: where an entry is, when it expires, and bytes, of which HAProxy counts those that it has understood. */
function comparable(answer: string): string {
  return answer
    .split('\n')
    .map((row) => row.replace(/^0x.*?(key=\S+).*?exp=\d+/, '$1').replace(/ bytes_in_cnt=\d+/, ''))
    .sort()
    .join('\n');
}

async function course(twin: Twin): Promise<readonly string[]> {
  const seen: string[] = [];
  for (const step of steps) {
    if (!step.startsWith('/')) {
      seen.push(`${step}: ${comparable(await askSocket(join(twin.directory, 'admin.sock'), `${step}\n`))}`);
      continue;
    }
    const [, path = '', fields = ''] = /^(\S+) ?(.*)$/s.exec(step) ?? [];
    const head = `GET ${path} HTTP/1.1\r\nHost: arrays.test\r\n${fields === '' ? '' : `${fields}\r\n`}Connection: close\r\n\r\n`;
    const text = await rawExchange(twin.port('WEB'), head);
    const status = text.slice(9, 12);
    seen.push(`${step}: ${status} ${status === '200' ? text.slice(text.indexOf('\r\n\r\n') + 4) : ''}`);
  }
  return seen;
}

pairTest('rules, expressions and commands count in arrays, and decide by them', async (t) => {
  await using directory = await temporaryDirectory();
  await using pair = await startPair({configuration, ports: ['WEB'], values: {}, directory: directory.path});
  t.deepEqual(await course(pair.picogate), await course(pair.haproxy));
});

pairTest('src_inc_gpc() makes the entry of a source that is not known; the API names elements as it shows them', async (t) => {
  await using directory = await temporaryDirectory();
  await using pair = await startPair({configuration, ports: ['WEB'], values: {}, directory: directory.path});
  const ask = (command: string): Promise<string> => askSocket(join(pair.picogate.directory, 'admin.sock'), `${command}\n`);
  await rawExchange(pair.picogate.port('WEB'), 'GET /source HTTP/1.1\r\nHost: arrays.test\r\nConnection: close\r\n\r\n');
  t.regex(await ask('show table sources'), /key=127\.0\.0\.1 use=0 exp=\d+ gpc0=1 gpc0_rate\(60000\)=1\n/);
  t.is(await ask('set table arrays key a data.gpc2 9 data.gpt1 8'), '\n');
  t.regex(await ask('show table arrays data.gpc2 gt 8'), / gpt0=0 gpt1=8 gpc0=0 gpc1=0 gpc2=9 gpc0_rate/);
});
