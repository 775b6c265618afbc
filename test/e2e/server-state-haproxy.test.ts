/** The same file with the states of servers to Debian's HAProxy and to the program: servers begin in the same states. */
import {writeFile} from 'node:fs/promises';
import {isIP} from 'node:net';
import {join} from 'node:path';
import test, {type ExecutionContext, type TestFn} from 'ava';
import {run} from '../../src/core/command.ts';
import {askSocket} from '../admin/stats-client.ts';
import {echo, testServer} from '../edge/edge-fixture.ts';
import {startHaproxy} from '../edge/haproxy.ts';
import {type DropInProgram, dropInProgram} from '../helpers/drop-in-program.ts';
import {freePort} from '../helpers/gateway.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';
import {until} from '../helpers/until.ts';

const hasHaproxy = await run(['haproxy', '-v'], {timeoutMs: 5000}).then(
  () => true,
  () => false,
);
const haproxyTest: TestFn | TestFn['skip'] = hasHaproxy ? test : test.skip;

/** Checks come so late that none changes what the file has said; but for the first one of all, which is of another backend. */
const backends = (echoPort: number): string => `backend aaa
  load-server-state-from-file none
  server first 127.0.0.1:${echoPort} check inter 600s
backend b
  server up 127.0.0.1:9001 check inter 600s rise 3 fall 4
  server down 127.0.0.1:9002 check inter 600s
  server stopping 127.0.0.1:9003 check inter 600s fall 4
  server onlyrise 127.0.0.1:9004 check inter 600s rise 1 fall 4
  server onlyfall 127.0.0.1:9005 check inter 600s rise 4 fall 1
  server maint 127.0.0.1:9006 check inter 600s
  server drain 127.0.0.1:9007 check inter 600s
  server nochecks 127.0.0.1:9008 check inter 600s
  server slow 127.0.0.1:9009 check inter 600s slowstart 500s
  server disabled 127.0.0.1:9010 disabled
  server made-ready 127.0.0.1:9011 disabled
  server now-disabled 127.0.0.1:9012 disabled
  server follower 127.0.0.1:9013 track b/maint
  server weight 127.0.0.1:9014 weight 7
  server new-weight 127.0.0.1:9015 weight 8
  server undrained 127.0.0.1:9016 weight 9
  server still-drained 127.0.0.1:9017 weight 0
  server port 127.0.0.1:9018
  server named localhost:9019
  server named-libc localhost:9020 init-addr libc
  server twice 127.0.0.1:9021
  server invalid 127.0.0.1:9022
  server short 127.0.0.1:9023
  server other-port 127.0.0.1:9024 check inter 600s port 81 addr 127.0.0.2
  server check-place 127.0.0.1:9026 check inter 600s port 81 addr 127.0.0.2
  server check-port 127.0.0.1:9027 check inter 600s port 81 addr 127.0.0.2
  server check-addr 127.0.0.1:9028 check inter 600s port 81
  server checks-off 127.0.0.1:9029 check inter 600s port 81 agent-check agent-port 82 agent-inter 600s
  server no-checks 127.0.0.1:9030 agent-check agent-port 82 agent-inter 600s
  server agent 127.0.0.1:9031 agent-check agent-port 82 agent-inter 600s
  server agent-off 127.0.0.1:9032 agent-check agent-port 82 agent-inter 600s
  server both 127.0.0.1:9033 check inter 600s agent-check agent-port 82 agent-addr 127.0.0.2 agent-inter 600s
  server addr-only 127.0.0.1:9036 check inter 600s addr 127.0.0.2 agent-check agent-port 82 agent-inter 600s
  server bad-place 127.0.0.1:9034 check inter 600s port 81 agent-check agent-port 82 agent-inter 600s
  server bad-agent 127.0.0.1:9035 check inter 600s port 81 agent-check agent-port 82 agent-inter 600s
  server missing 127.0.0.1:9025 check inter 600s
backend c
  load-server-state-from-file none
  server none 127.0.0.1:9001
backend d
  load-server-state-from-file local
  server mine 127.0.0.1:9001
backend e
  load-server-state-from-file local
  server-state-file-name special
  server mine 127.0.0.1:9001
`;

/** One line of a file: what is not given is as in a server that is up and not checked. */
function line(backend: string, server: string, facts: Partial<Record<string, number | string>> = {}): string {
  const all = {
    address: '127.0.0.9',
    op: 2,
    admin: 0,
    weight: 1,
    initial: 1,
    since: 40,
    status: 1,
    result: 0,
    health: 2,
    state: 0,
    name: '-',
    port: 9999,
    agent: 0,
    checked: '0 -',
    asked: '- 0',
    ...facts,
  };
  const {address, op, admin, weight, initial, since, status, result, health, state, name, port, agent, checked, asked} = all;
  return `3 ${backend} 1 ${server} ${address} ${op} ${admin} ${weight} ${initial} ${since} ${status} ${result} ${health} ${state} ${agent} 0 0 ${name} ${port} - 0 ${checked} ${asked}`;
}

const checked = {status: 6, result: 3, health: 4, state: 6};

const globalLines = [
  '# a comment',
  '',
  line('b', 'up', {status: 15, result: 3, health: 6, state: 6}),
  line('b', 'down', {op: 0, status: 8, result: 2, health: 0, state: 6}),
  line('b', 'stopping', {op: 3, status: 16, result: 4, health: 3, state: 6}),
  line('b', 'onlyrise', {op: 1, status: 6, result: 3, health: 1, state: 6}),
  line('b', 'onlyfall', {op: 3, status: 16, result: 4, health: 4, state: 6}),
  line('b', 'maint', {op: 0, admin: 1, status: 8, result: 2, health: 0, state: 14}),
  line('b', 'drain', {admin: 8, weight: 3, status: 6, result: 3, health: 4, state: 6}),
  line('b', 'nochecks', {status: 6, result: 3, health: 4, state: 2}),
  line('b', 'slow', {op: 1, status: 6, result: 3, health: 4, state: 6}),
  line('b', 'disabled', {op: 0, admin: 5, health: 0, state: 8}),
  line('b', 'made-ready', {op: 2, admin: 4, state: 8}),
  line('b', 'now-disabled', {op: 2, admin: 0}),
  line('b', 'follower', {op: 0, admin: 2, health: 0}),
  line('b', 'weight', {weight: 99, initial: 7}),
  line('b', 'new-weight', {weight: 99, initial: 7}),
  line('b', 'undrained', {admin: 8, weight: 0, initial: 0}),
  line('b', 'still-drained', {admin: 8, weight: 0, initial: 0}),
  line('b', 'port', {port: 9118}),
  line('b', 'named', {name: 'localhost', port: 9119}),
  line('b', 'named-libc', {name: 'localhost', port: 9020}),
  line('b', 'twice', {weight: 5}),
  line('b', 'twice', {weight: 6}),
  line('b', 'invalid', {op: 7, admin: 3, weight: 5, initial: 300, port: 70_000}),
  line('b', 'short')
    .replace(/ 0 0 - - 0$/, '')
    .replace('9999', '9123'),
  line('b', 'check-place', {...checked, checked: '8181 127.0.0.7', asked: '127.0.0.7 8181'}),
  line('b', 'check-port', {...checked, checked: '8181 -'}),
  line('b', 'check-addr', {...checked, checked: '0 ::1'}),
  line('b', 'checks-off', {status: 6, result: 3, health: 4, state: 2, agent: 22, checked: '8181 127.0.0.7', asked: '127.0.0.7 8282'}),
  line('b', 'no-checks', {agent: 22, checked: '8181 -', asked: '127.0.0.7 8282'}),
  line('b', 'agent', {agent: 22, asked: '127.0.0.7 8282'}),
  line('b', 'agent-off', {agent: 18, asked: '127.0.0.7 8282'}),
  line('b', 'both', {...checked, agent: 22, checked: '8181 127.0.0.7', asked: '- 8282'}),
  line('b', 'addr-only', {...checked, agent: 22, checked: '8181 127.0.0.7', asked: '- 0'}),
  line('b', 'bad-place', {...checked, agent: 22, weight: 5, checked: '70000 127.0.0.7', asked: '127.0.0.7 8282'}),
  line('b', 'bad-agent', {...checked, agent: 22, checked: '8181 127.0.0.7', asked: 'nowhere 8282'}),
  line('b', 'unknown', {admin: 1}),
  line('c', 'none', {admin: 1}),
  line('gone', 'none', {admin: 1}),
];

interface Both {
  readonly directory: string;
  readonly theirs: (command: string) => Promise<string>;
  readonly ours: (command: string) => Promise<string>;
  readonly program: DropInProgram;
}

async function openBoth(t: ExecutionContext, files: Readonly<Record<string, string>>): Promise<Both> {
  const {path: directory, ...owned} = await temporaryDirectory();
  t.teardown(() => owned[Symbol.asyncDispose]());
  const echoes = await testServer(echo);
  t.teardown(() => echoes[Symbol.asyncDispose]());
  for (const [name, text] of Object.entries(files)) await writeFile(join(directory, name), text);
  const configuration = async (socket: string): Promise<string> => `global
  stats socket ${socket} mode 600 level admin
  server-state-base ${directory}
  server-state-file states
defaults
  mode tcp
  timeout connect 5s
  timeout client 5s
  timeout server 5s
  load-server-state-from-file global
frontend f
  bind 127.0.0.1:${await freePort()}
  default_backend b
${backends(echoes.port)}`;
  const theirSocket = join(directory, 'theirs.sock');
  const haproxy = await startHaproxy(directory, await configuration(theirSocket), theirSocket);
  t.teardown(() => haproxy[Symbol.asyncDispose]());
  const ourSocket = join(directory, 'ours.sock');
  const program = await dropInProgram(t, await configuration(ourSocket));
  return {directory, program, theirs: (command) => askSocket(theirSocket, `${command}\n`), ours: (command) => askSocket(ourSocket, `${command}\n`)};
}

/** By `backend/server`: what both programs mean by the columns. */
function states(text: string): Readonly<Record<string, Readonly<Record<string, string>>>> {
  const [, header = '', ...rows] = text.trimEnd().split('\n');
  const names = header.slice(2).split(' ');
  const parsed = rows.map((row) => {
    const words = row.split(' ');
    const columns = Object.fromEntries(names.map((name, at) => [name, words[at] ?? '']));
    // Without checks HAProxy keeps what the file says of them.
    const isChecked = (Number(columns['srv_check_state']) & 2) !== 0;
    const left = isChecked ? [] : ['srv_check_status', 'srv_check_result', 'srv_check_health'];
    // One that starts slowly fails at the first check in both, but HAProxy counts it as not risen.
    if (columns['srv_name'] === 'slow') left.push('srv_check_health');
    const kept = Object.entries(columns).filter(([name]) => name !== 'srv_time_since_last_change' && !left.includes(name));
    return [`${columns['be_name']}/${columns['srv_name']}`, Object.fromEntries(kept)] as const;
  });
  return Object.fromEntries(parsed);
}

const goodFiles = {
  states: `1\n${globalLines.join('\n')}\n`,
  d: `1\n${line('d', 'mine', {admin: 8})}\n${line('d', 'unknown')}\n${line('b', 'up')}\n`,
  special: `1\n${line('e', 'mine', {weight: 44})}\n`,
};

async function compare(t: ExecutionContext, {theirs, ours}: Both): Promise<void> {
  // The first check of all has to be over in both.
  const settled = async (ask: Both['ours']): Promise<string> => {
    let text = '';
    await until(async () => {
      text = await ask('show servers state');
      return / first \S+ 2 0 1 1 \d+ 6 3 4 6 /.test(text);
    });
    return text;
  };
  const [expected, found] = [states(await settled(theirs)), states(await settled(ours))];
  t.deepEqual(Object.keys(found), Object.keys(expected));
  for (const [name, columns] of Object.entries(expected)) {
    // What the system looks up for each connection is no address here.
    const isLookedUp = isIP(found[name]?.['srv_addr'] ?? '') === 0;
    t.deepEqual(found[name], isLookedUp ? {...columns, srv_addr: columns['srv_fqdn']} : columns, name);
  }
}

haproxyTest('servers begin as the file says, where the configuration has not changed', async (t) => {
  const both = await openBoth(t, goodFiles);
  await compare(t, both);
  const since = (text: string): number => Number(/ b \d+ up .*/.exec(text)?.[0].split(' ')[9]);
  t.true(since(await both.ours('show servers state')) >= 40);
  const log = await both.program.log();
  t.regex(log, /"server":"invalid","problems":"invalid srv_op_state value '7', invalid srv_iweight value '300', invalid srv_port value '70000'"/);
  t.regex(log, /"server":"bad-place","problem":"provided port is invalid","msg":"the state of a server is taken over in part"/);
  t.regex(log, /"backend":"d","server":"unknown","msg":"the file with the states of servers names one that is not there"/);
  t.notRegex(log, /"backend":"b","server":"unknown"/);
  t.notRegex(log, /"server":"(?:check-place|checks-off|no-checks|agent-off)"/);
});

haproxyTest('what one writes the other reads', async (t) => {
  const both = await openBoth(t, goodFiles);
  for (const ask of [both.theirs, both.ours]) {
    const text = (await ask('show servers state')).replace(/\n\n$/, '\n');
    const again = await openBoth(t, {states: text, d: text, special: text});
    await compare(t, again);
  }
});

haproxyTest('out of the maintenance of the file servers come up', async (t) => {
  const both = await openBoth(t, goodFiles);
  for (const ask of [both.theirs, both.ours]) {
    for (const name of ['maint', 'disabled', 'now-disabled']) await ask(`set server b/${name} state ready`);
  }
  await compare(t, both);
});

const corruptedAt = (line: number): RegExp => new RegExp(`"line":${line},"msg":"the file with the states of servers is corrupted`);

for (const [what, text, message] of [
  ['is not there', null, /"error":"[^"]+","msg":"the file with the states of servers cannot be read"/],
  ['is empty', '', /"msg":"the file with the states of servers is empty"/],
  ['is of another version', goodFiles.states.replace('1', '2'), /does not begin with a version that is known/],
  ['is cut off', goodFiles.states.slice(0, -1), corruptedAt(globalLines.length + 1)],
  ['has a line with too few words', `${goodFiles.states}3 b 1 up 127.0.0.1\n`, corruptedAt(globalLines.length + 2)],
] as const) {
  haproxyTest(`a file that ${what} changes nothing`, async (t) => {
    const both = await openBoth(t, text === null ? {} : {states: text});
    await compare(t, both);
    t.regex(await both.program.log(), message);
  });
}
