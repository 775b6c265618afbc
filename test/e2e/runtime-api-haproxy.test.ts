/** The same configuration, traffic and commands to Debian's HAProxy and to the program: the runtime API tells the same. */
import {once} from 'node:events';
import {createServer} from 'node:http';
import type {AddressInfo} from 'node:net';
import {join} from 'node:path';
import test, {type ExecutionContext, type TestFn} from 'ava';
import {run} from '../../src/core/command.ts';
import {askSocket} from '../admin/stats-client.ts';
import {echo, testServer} from '../edge/edge-fixture.ts';
import {startHaproxy} from '../edge/haproxy.ts';
import {makeTestCertificate} from '../edge/tls/certificates.ts';
import {dropInProgram, echoOnce} from '../helpers/drop-in-program.ts';
import {freePort} from '../helpers/gateway.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';
import {until} from '../helpers/until.ts';
import {parseStat, type StatLine} from './stat-table.ts';

const hasHaproxy = await run(['haproxy', '-v'], {timeoutMs: 5000}).then(
  () => true,
  () => false,
);
const haproxyTest: TestFn | TestFn['skip'] = hasHaproxy ? test : test.skip;

interface Side {
  readonly tcp: number;
  readonly http: number;
  readonly ask: (command: string) => Promise<string>;
}

interface Both {
  readonly directory: string;
  readonly sides: readonly [theirs: Side, ours: Side];
  /** Asks both; @returns HAProxy's answer and ours */
  readonly ask: (command: string) => Promise<readonly [string, string]>;
}

async function openBoth(t: ExecutionContext): Promise<Both> {
  const {path: directory, ...owned} = await temporaryDirectory();
  t.teardown(() => owned[Symbol.asyncDispose]());
  const echoes = await testServer(echo);
  t.teardown(() => echoes[Symbol.asyncDispose]());
  const web = createServer((request, response) => void response.writeHead(request.url === '/none' ? 404 : 200).end('page')).listen(0, '127.0.0.1');
  await once(web, 'listening');
  t.teardown(() => void web.close());
  const webPort = (web.address() as AddressInfo).port;
  const closed = await freePort();
  await makeTestCertificate(directory, {file: 'site.pem', names: ['site.test', 'www.site.test'], subject: '/C=FR/O=A, b/CN=site.test'});
  const configuration = (socket: string, ports: readonly number[]): string => `global
  stats socket ${socket} mode 600 level admin
frontend streams
  bind 127.0.0.1:${ports[0]}
  default_backend echoes
frontend secure
  bind 127.0.0.1:${ports[1]} ssl crt ${directory}/site.pem
  default_backend echoes
frontend pages
  mode http
  bind 127.0.0.1:${ports[2]}
  http-request deny if { path /denied }
  default_backend web
backend echoes
  timeout check 2s
  stick-table type ip size 100 store conn_cnt,conn_rate(10s)
  server checked 127.0.0.1:${echoes.port} check inter 100 weight 10
  server plain 127.0.0.1:${echoes.port} weight 20 maxconn 50
  server down 127.0.0.1:${closed} check inter 100
  server follower 127.0.0.1:${echoes.port} track echoes/down
  server spare 127.0.0.1:${echoes.port} backup
backend web
  mode http
  option httpchk GET /
  server pages 127.0.0.1:${webPort} check inter 100
`;
  const side = async (name: string, start: (text: string, socket: string) => Promise<unknown>): Promise<Side> => {
    const ports = [await freePort(), await freePort(), await freePort()];
    const socket = join(directory, `${name}.sock`);
    await start(configuration(socket, ports), socket);
    const [tcp = 0, , http = 0] = ports;
    return {tcp, http, ask: (command) => askSocket(socket, `${command}\n`)};
  };
  const theirs = await side('theirs', async (text, socket) => {
    const haproxy = await startHaproxy(directory, text, socket);
    t.teardown(() => haproxy[Symbol.asyncDispose]());
  });
  const ours = await side('ours', (text) => dropInProgram(t, text));
  for (const {ask} of [theirs, ours]) {
    await until(async () => {
      const rows = parseStat(await ask('show stat'));
      return (
        rows.get('echoes/checked')?.check_status === 'L4OK' && rows.get('echoes/down')?.status === 'DOWN' && rows.get('web/pages')?.check_status === 'L7OK'
      );
    });
  }
  return {directory, sides: [theirs, ours], ask: async (command) => [await theirs.ask(command), await ours.ask(command)]};
}

haproxyTest('states of servers, before and after commands, are what HAProxy tells and reads', async (t) => {
  const {ask} = await openBoth(t);
  // Not the time since the last change.
  const stable = (text: string): string[] =>
    text.split('\n').map((line) =>
      line
        .split(' ')
        .filter((_word, at) => at !== 9)
        .join(' '),
    );
  const same = async (command: string): Promise<void> => {
    let [theirs, ours] = await ask(command);
    // While HAProxy checks a server its state is 7, and it may have no result.
    if (command.startsWith('show')) {
      await until(async () => {
        [theirs, ours] = await ask(command);
        return !/ \d+ \d+ 7 0 0 0 - /.test(theirs);
      });
    }
    t.deepEqual(stable(ours), stable(theirs), command);
  };
  await same('show servers state');
  await same('show backend');
  for (const command of [
    'set server echoes/checked state drain',
    'set server echoes/plain state maint',
    'set server echoes/plain weight 7',
    'set server echoes/spare addr 127.0.0.2 port 9',
    'set server web/pages weight 50%',
  ]) {
    await same(command);
  }
  await same('show servers state');
  await same('show servers state web');
  await same('show table');
  await same('set table echoes key 192.0.2.9 data.conn_cnt 3');
  await same('show table echoes data.conn_cnt gt 5');
});

const numbers = ['scur', 'stot', 'conn_tot', 'econ', 'wretr', 'lbtot', 'req_tot', 'hrsp_2xx', 'hrsp_4xx', 'hrsp_5xx', 'dreq', 'ereq', 'qcur'] as const;
const facts = [
  'status',
  'weight',
  'uweight',
  'act',
  'bck',
  'type',
  'iid',
  'sid',
  'mode',
  'algo',
  'addr',
  'tracked',
  'check_status',
  'check_code',
  'check_desc',
] as const;
const checks = ['check_rise', 'check_fall', 'check_health', 'chkdown'] as const;

/** Columns that depend on how the program is built. */
const moduleColumns = /^(?:(?:ssl|h1|h2|h3|quic)_|app|-$)/;

function filled(row: StatLine | undefined): string[] {
  return Object.entries(row ?? {}).flatMap(([name, value]) => (value === '' || moduleColumns.test(name) ? [] : [name]));
}

haproxyTest('show stat after the same traffic: the same columns are filled, with the same numbers', async (t) => {
  const {sides, ask} = await openBoth(t);
  for (const {tcp, http, ask: command} of sides) {
    await command('clear counters all');
    for (let count = 0; count < 6; count++) await echoOnce({port: tcp});
    for (const path of ['/', '/', '/none', '/denied']) {
      await (await fetch(`http://127.0.0.1:${http}${path}`, {headers: {connection: 'close'}})).text();
    }
    await until(async () => [...parseStat(await command('show stat')).values()].every(({scur}) => scur === '0'));
  }
  // A check that runs has a star, and no code.
  let answers = await ask('show stat');
  await until(async () => {
    answers = await ask('show stat');
    return answers.every((csv) => !csv.includes(',* L'));
  });
  const [theirs, ours] = answers.map((csv) => parseStat(csv));
  t.deepEqual([...(ours?.keys() ?? [])], [...(theirs?.keys() ?? [])]);
  for (const [name, expected] of theirs ?? []) {
    const found = ours?.get(name);
    t.deepEqual(filled(found), filled(expected), `${name}: columns`);
    for (const column of [...numbers, ...facts, ...checks]) {
      t.is(found?.[column], expected[column], `${name}: ${column}`);
    }
    // Of HTTP, HAProxy counts what it has understood, and not what has come.
    if (expected.mode === 'tcp') t.like(found, {bin: expected.bin, bout: expected.bout}, `${name}: bytes`);
  }
});

haproxyTest('show ssl cert has the lines of HAProxy', async (t) => {
  const {ask, directory} = await openBoth(t);
  const path = `${directory}/site.pem`;
  for (const command of ['show ssl cert', `show ssl cert ${path}`, 'show ssl cert /none']) {
    const [theirs, ours] = await ask(command);
    t.is(ours, theirs, command);
  }
});
