/** Rules that change maps and lists, and what then decides by them: the same requests and commands to Debian's HAProxy and to our program. */
import {existsSync} from 'node:fs';
import {readFile, writeFile} from 'node:fs/promises';
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
frontend web
  bind 127.0.0.1:\${WEB}
  http-request set-map(\${SHARED}/hosts.map) %[req.hdr(key)] %[req.hdr(value)] if { path /set }
  http-request del-map(\${SHARED}/hosts.map) %[req.hdr(key)] if { path /delete }
  http-request set-map(\${SHARED}/networks.map) %[req.hdr(key)] %[req.hdr(value)] if { path /network }
  http-request add-acl(\${SHARED}/names.lst) %[req.hdr(key)] if { path /name }
  http-request del-acl(\${SHARED}/names.lst) %[req.hdr(key)] if { path /no-name }
  http-request set-map(\${SHARED}/unused.map) %[req.hdr(key)] x if { path /set }
  http-request deny deny_status 403 if { req.hdr(key) -i -f \${SHARED}/names.lst }
  default_backend answers
backend answers
  http-response set-map(\${SHARED}/hosts.map) %[var(txn.key)] %[status] if { var(txn.answered) -m found }
  http-response add-acl(\${SHARED}/names.lst) from-response if { status 200 } { var(txn.answered) -m found }
  http-request set-var(txn.key) req.hdr(key)
  http-request set-var(txn.answered) bool(true) if { path /answered }
  http-request return status 200 content-type text/plain lf-string "%[req.hdr(key),map(\${SHARED}/hosts.map,none)] %[req.hdr(key),map_beg(\${SHARED}/hosts.map,none)] %[req.hdr(address),map_ip(\${SHARED}/networks.map,none)]" unless { path /answered }
  server origin 127.0.0.1:\${ORIGIN}
listen origin
  bind 127.0.0.1:\${ORIGIN}
  http-request return status 200
`;

interface Step {
  readonly path?: string;
  readonly fields?: readonly string[];
  readonly command?: string;
}

const get = (path: string, ...fields: readonly string[]): Step => ({path, fields});

const steps: readonly Step[] = [
  get('/', 'key: a'),
  get('/set', 'key: a', 'value: two words'),
  get('/', 'key: a.b'),
  get('/set', 'key: new', 'value: 7'),
  get('/set', 'key: new', 'value: 8'),
  get('/', 'key: new'),
  get('/set', 'key: \xc3\xa9', 'value: \xc3\xa8'),
  get('/', 'key: \xc3\xa9'),
  get('/delete', 'key: twice'),
  get('/', 'key: twice'),
  get('/delete', 'key: never'),
  get('/network', 'key: 192.0.2.0/24', 'value: near'),
  get('/network', 'key: no address', 'value: far'),
  get('/', 'address: 192.0.2.9'),
  get('/name', 'key: evil'),
  get('/name', 'key: evil'),
  get('/', 'key: EVIL'),
  get('/no-name', 'key: evil'),
  get('/', 'key: evil'),
  get('/no-name', 'key: bad'),
  get('/', 'key: bad'),
  get('/answered', 'key: answered'),
  get('/', 'key: answered'),
  get('/', 'key: from-response'),
  {command: 'set map FILE/hosts.map answered later'},
  {command: 'del acl FILE/names.lst from-response'},
  get('/', 'key: answered'),
  get('/', 'key: from-response'),
  get('/delete', 'key: answered'),
  {command: 'show map FILE/hosts.map'},
  {command: 'show map FILE/networks.map'},
  {command: 'show map FILE/unused.map'},
  {command: 'show acl FILE/names.lst'},
];

async function course(twin: Twin, files: string): Promise<readonly string[]> {
  const seen: string[] = [];
  for (const {path, fields = [], command} of steps) {
    if (path === undefined) {
      const answer = await askSocket(join(twin.directory, 'admin.sock'), `${command?.replace('FILE', files)}\n`);
      seen.push(`${command}: ${answer.replaceAll(/^0x[0-9a-f]+ /gm, '')}`);
      continue;
    }
    const text = await rawExchange(
      twin.port('WEB'),
      Buffer.from(`GET ${path} HTTP/1.1\r\nHost: patterns.test\r\n${fields.map((field) => `${field}\r\n`).join('')}Connection: close\r\n\r\n`, 'latin1'),
    );
    const status = text.slice(9, 12);
    seen.push(`${path} ${fields.join(' ')}: ${status} ${status === '200' ? text.slice(text.indexOf('\r\n\r\n') + 4) : ''}`);
  }
  return seen;
}

pairTest('rules change maps and lists, which decide and are shown accordingly; the files stay as they are', async (t) => {
  await using directory = await temporaryDirectory();
  const hosts = 'a 1\ntwice 1\ntwice 2\n';
  await writeFile(join(directory.path, 'hosts.map'), hosts);
  await writeFile(join(directory.path, 'networks.map'), '10.0.0.0/8 private\n');
  await writeFile(join(directory.path, 'names.lst'), 'bad\nworse\n');
  await using pair = await startPair({configuration, ports: ['WEB', 'ORIGIN'], values: {SHARED: directory.path}, directory: directory.path});
  const expected = await course(pair.haproxy, directory.path);
  t.true(expected.some((line) => line.includes('two words')));
  t.deepEqual(await course(pair.picogate, directory.path), expected);
  t.is(await readFile(join(directory.path, 'hosts.map'), 'utf8'), hosts);
});
