/** The same commands to Debian's HAProxy and to us: the same answers, but for numbers and addresses that cannot be the same. */
import {mkdtemp, rm, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import test, {type ExecutionContext, type TestFn} from 'ava';
import {run} from '../../src/core/command.ts';
import {freePort} from '../helpers/gateway.ts';
import {until} from '../helpers/until.ts';
import {memoryGateway} from './memory-gateway.ts';
import {askSocket, statsSocket} from './stats-client.ts';

const hasHaproxy = await run(['haproxy', '-v'], {timeoutMs: 5000}).then(
  () => true,
  () => false,
);
const haproxyTest: TestFn | TestFn['skip'] = hasHaproxy ? test : test.skip;

interface Pair {
  /** Asks both; @returns HAProxy's answer and ours */
  readonly ask: (commands: string, level?: 'user' | 'operator' | 'admin') => Promise<readonly [theirs: string, ours: string]>;
}

async function bothGateways(t: ExecutionContext): Promise<Pair> {
  const directory = await mkdtemp('/tmp/picogate-test-');
  const path = (name: string): string => join(directory, name);
  await writeFile(path('acl'), '9.9.9.9\n');
  await writeFile(path('map'), '/a one\n/b two\n');
  const levels = ['user', 'operator', 'admin'] as const;
  const [first, second] = [await freePort(), await freePort()];
  await writeFile(
    path('haproxy.cfg'),
    `global
  ${levels.map((level) => `stats socket ${path(`theirs-${level}`)} mode 600 level ${level}`).join('\n  ')}
  maxconn 100
defaults
  mode http
  timeout connect 1s
  timeout client 5s
  timeout server 5s
frontend fe
  bind 127.0.0.1:${first}
  http-request deny if { src -f ${path('acl')} }
  http-request set-header X %[path,map(${path('map')},none)]
  default_backend bk
backend bk
  stick-table type ip size 10k expire 30s store conn_cnt,http_req_rate(10s)
  server s1 127.0.0.1:28081 weight 10
  server s2 127.0.0.1:28082 maxconn 3
  server dis 127.0.0.1:28083 disabled
listen tl
  mode tcp
  bind 127.0.0.1:${second}
  server t1 127.0.0.1:28081
`,
  );
  const haproxy = run(['haproxy', '-db', '-f', path('haproxy.cfg')], {timeoutMs: 60_000, signal: AbortSignal.timeout(60_000)});
  haproxy.catch(() => undefined);
  await writeFile(path('pid'), '');
  const control = memoryGateway();
  const sockets = await Promise.all(levels.map((level) => statsSocket(path(`ours-${level}`), control, {level})));
  t.teardown(async () => {
    for (const socket of sockets) await socket[Symbol.asyncDispose]();
    const pid = /^Pid: (\d+)$/m.exec(await askSocket(path('theirs-admin'), 'show info\n'))?.[1];
    if (pid !== undefined) process.kill(Number(pid), 'SIGTERM');
    await haproxy.catch(() => undefined);
    await rm(directory, {recursive: true});
  });
  await until(() =>
    askSocket(path('theirs-admin'), 'show version\n').then(
      (answer) => answer !== '',
      () => false,
    ),
  );
  // The files of patterns have other names here.
  return {
    ask: async (commands, level = 'admin') => [
      await askSocket(path(`theirs-${level}`), commands.replaceAll('/lists/', `${directory}/`)),
      await askSocket(path(`ours-${level}`), commands),
    ],
  };
}

/** Answers that are equal to the byte, in this order: each may depend on those before. */
const equalAnswers = [
  'show backend',
  'show cli level',
  'show version;show backend',
  '   show   backend  ',
  'get weight bk/s1',
  'get weight bk',
  'get weight bk/x',
  'get weight x/y',
  'get weight',
  'set server',
  'set server bk/s2',
  'set server bk/s2 foo',
  'set server bk/s2 state',
  'set server bk/s2 state foo',
  'set server bk/s2 state drain',
  'set server bk/s2 state maint',
  'set server bk/s2 state ready',
  'set server bk/s2 weight 5',
  'get weight bk/s2',
  'set server bk/s2 weight 500',
  'set server bk/s2 weight foo',
  'set server bk/s2 weight',
  'set server bk/s1 weight 50%',
  'get weight bk/s1',
  'set weight bk/s2 7',
  'set server bk/s2 addr 127.0.0.5 port 99',
  'set server bk/s2 addr 127.0.0.5 port 99',
  'set server bk/s2 addr 127.0.0.6',
  'set server bk/s2 addr foo',
  'set server bk/s2 addr',
  'set server bk/s1 health foo',
  'set server bk/s1 agent up',
  'set server bk/s1 fqdn foo',
  'disable server',
  'disable server bk/no',
  'disable server bk/s2',
  'enable server bk/s2',
  'disable frontend',
  'disable frontend no',
  'disable frontend fe',
  'disable frontend fe',
  'enable frontend fe',
  'enable frontend fe',
  'shutdown frontend no',
  'shutdown frontend tl',
  'shutdown frontend tl',
  'enable frontend tl',
  'disable frontend tl',
  'set maxconn global',
  'set maxconn global 50',
  'set maxconn global 500000',
  'set maxconn frontend fe',
  'set maxconn frontend fe 10',
  'set maxconn frontend no 10',
  'set maxconn server bk/s2 4',
  'set maxconn server bk/s2',
  'set maxconn server bk/s2 x',
  'set maxconn server',
  'clear counters',
  'clear counters all',
  'shutdown session',
  'shutdown session 0x99',
  'shutdown sessions server',
  'shutdown sessions server bk/s1',
  'shutdown sessions server bk/zz',
  'show sess 0x99',
  'show errors nope',
  'show stat nope 1 1',
  'show servers state nope',
  'set timeout',
  'set timeout cli',
  'set timeout cli foo',
  'set timeout cli 5s',
  'show env HOME',
  'show env PICOGATE_NO_SUCH_VARIABLE',
  'add server',
  'add server bk/x',
  'add server zz/x 127.0.0.1:80',
  'add server bk/x 127.0.0.1:80',
  'add server bk/x 127.0.0.1:80',
  'del server bk/x',
  'del server bk/x',
  'del server bk/s1',
  'del server',
  'show acl nope',
  'show map nope',
  'add acl',
  'add acl /lists/acl',
  'add acl /lists/acl 1.2.3.4',
  'add acl /lists/acl foo',
  'del acl /lists/acl 1.2.3.4',
  'del acl /lists/acl 1.2.3.4',
  'del acl /lists/acl',
  'clear acl',
  'clear acl nope',
  'clear acl /lists/acl',
  'show acl /lists/acl',
  'add map',
  'add map /lists/map /c',
  'add map /lists/map /c three',
  'add map /lists/map <<\n/d four\n/e five\n',
  'set map /lists/map /c drei',
  'set map /lists/map /zz nope',
  'set map /lists/map /c',
  'del map /lists/map /c',
  'clear map /lists/map',
  'show map /lists/map',
  'show table',
  'show table bk',
  'show table nope',
  'set table bk key 1.2.3.4 data.conn_cnt 5',
  'set table bk key 1.2.3.4 data.foo 5',
  'show table bk data.conn_cnt gt 40',
  'show table bk data.foo gt 40',
  'show table bk key 5.5.5.5',
  'clear table bk key 1.2.3.4',
  'clear table bk',
  'clear table nope',
  'clear table',
  'show ssl cert nope',
  'set ssl cert',
  'set ssl cert nope',
  'set ssl cert nope <<\nfoo\n',
  'commit ssl cert',
  'commit ssl cert nope',
  'abort ssl cert',
  'abort ssl cert nope',
  'user;show cli level;show errors',
  'operator;disable server bk/s1;show cli level',
  'quit',
  'show backend\nshow cli level',
] as const;

/** Of one run, what differs for good reasons. */
function comparable(answer: string): string {
  return answer.replaceAll(/^\d+\.\d+\.\d+\S*$/gm, 'VERSION');
}

haproxyTest('answers are those of HAProxy', async (t) => {
  const {ask} = await bothGateways(t);
  for (const command of equalAnswers) {
    const [theirs, ours] = await ask(`${command}\n`);
    t.is(comparable(ours), comparable(theirs), command);
  }
});

haproxyTest('a level that is too low is refused as HAProxy does', async (t) => {
  const {ask} = await bothGateways(t);
  const commands = ['disable server bk/s1', 'show errors nope', 'clear counters', 'clear counters all', 'set server bk/s1 weight 3', 'shutdown session 0x1'];
  for (const level of ['user', 'operator'] as const) {
    for (const command of [
      ...commands,
      'show backend',
      'get weight bk/s1',
      'show cli level',
      'set maxconn global 5',
      'add server bk/z 1.1.1.1:1',
      'operator',
    ]) {
      const [theirs, ours] = await ask(`${command}\n`, level);
      t.is(ours, theirs, `${level}: ${command}`);
    }
  }
});

/** The columns of a row that are not empty, by name. */
function columns(csv: string, proxy: string, server: string): string[] {
  const [header = '', ...rows] = csv.split('\n');
  const names = header.replace('# ', '').split(',');
  const cells = rows.find((row) => row.startsWith(`${proxy},${server},`))?.split(',') ?? [];
  return names.filter((name, at) => name !== '-' && (cells[at] ?? '') !== '');
}

const moduleColumns = /^(?:ssl|h1|h2|h3|quic)_/;

haproxyTest('show stat has the columns of HAProxy, in its order, and in each row what HAProxy has there', async (t) => {
  const {ask} = await bothGateways(t);
  const [theirs, ours] = await ask('show stat\n');
  const upToModules = (csv: string): string => csv.split('\n', 1)[0]?.split(',-,')[0] ?? '';
  t.is(upToModules(ours), upToModules(theirs));
  for (const [proxy, server] of [
    ['fe', 'FRONTEND'],
    ['bk', 's1'],
    ['bk', 's2'],
    ['bk', 'dis'],
    ['bk', 'BACKEND'],
    ['tl', 'FRONTEND'],
    ['tl', 't1'],
    ['tl', 'BACKEND'],
  ] as const) {
    const expected = columns(theirs, proxy, server).filter((name) => !moduleColumns.test(name));
    t.deepEqual(
      expected.filter((name) => !columns(ours, proxy, server).includes(name)),
      [],
      `${proxy}/${server}: missing`,
    );
  }
  t.deepEqual(
    ours.split('\n').map((row) => row.split(',').length),
    ours.split('\n').map((row, at, rows) => (row === '' ? 1 : (rows[0]?.split(',').length ?? at))),
    'every row has every column',
  );
});

haproxyTest('typed and JSON output have the names, numbers, tags and types of HAProxy', async (t) => {
  const {ask} = await bothGateways(t);
  const names = (text: string): Map<string, string> =>
    new Map([...text.matchAll(/^(?:[FBS]\.\d+\.\d+\.)?(\d+\.[^:]+):(\w+:\w+):/gm)].map(([, name = '', tags = '']) => [name, tags]));
  for (const command of ['show info typed\n', 'show stat 2 1 -1 typed\n', 'show stat 3 4 1 typed\n', 'show stat 3 4 2 typed\n']) {
    const [theirs, ours] = await ask(command);
    const mine = names(ours);
    for (const [name, tags] of names(theirs)) if (!moduleColumns.test(name.replace(/^\d+\./, ''))) t.is(mine.get(name), tags, `${command}${name}`);
  }
  const [theirs, ours] = (await ask('show stat 3 4 1 json\n')).map((text) => JSON.parse(text) as Record<string, unknown>[][]);
  const first = (rows: Record<string, unknown>[][] | undefined): unknown => rows?.[0]?.[0];
  t.deepEqual(first(ours), first(theirs));
  const [theirInfo, ourInfo] = (await ask('show info json\n')).map((text) => JSON.parse(text) as {field: unknown; tags: unknown}[]);
  t.deepEqual(
    ourInfo?.map(({field, tags}) => ({field, tags})),
    theirInfo?.map(({field, tags}) => ({field, tags})),
  );
});

haproxyTest('show servers state is what HAProxy reads again', async (t) => {
  const {ask} = await bothGateways(t);
  const [theirs, ours] = await ask('show servers state\n');
  // The time since the last change, and results of checks which these servers do not have.
  const stable = (text: string): string[][] => text.split('\n').map((line) => line.split(' ').filter((_word, at) => ![9, 10, 11, 12, 13].includes(at)));
  t.deepEqual(stable(ours), stable(theirs));
});

haproxyTest('an interactive session reads as with HAProxy', async (t) => {
  const {ask} = await bothGateways(t);
  const [theirs, ours] = await ask('prompt\nshow cli level\nshow backend;show cli level\nadd map /lists/map <<\n/x y\n\nget weight\nquit\n');
  t.is(ours, theirs);
});
