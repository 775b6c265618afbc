/** `agent-check`: the same answers of agents, and the same commands, to Debian's HAProxy and to the program, and what becomes of the servers. */
import type {Socket} from 'node:net';
import {join} from 'node:path';
import {isDeepStrictEqual} from 'node:util';
import test, {type ExecutionContext, type TestFn} from 'ava';
import {run} from '../../src/core/command.ts';
import {askSocket} from '../admin/stats-client.ts';
import {testServer} from '../edge/edge-fixture.ts';
import {startHaproxy} from '../edge/haproxy.ts';
import {dropInProgram} from '../helpers/drop-in-program.ts';
import {freePort} from '../helpers/gateway.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';
import {until} from '../helpers/until.ts';
import {parseStat} from './stat-table.ts';

const hasHaproxy = await run(['haproxy', '-v'], {timeoutMs: 5000}).then(
  () => true,
  () => false,
);
const haproxyTest: TestFn | TestFn['skip'] = hasHaproxy ? test : test.skip;

/** The lines of each agent, one after the other; of those that are over the last one stays. */
const scripts: Readonly<Record<string, readonly string[]>> = {
  health: ['up\n', 'down\n', 'stopped # no disk\n', 'UP\r\n', 'fail\n', 'down # later\n', 'up # now\n'],
  weight: ['50%\n', '200%\n', '0%\n', '99999%\n', '100%\n', '7%x\n', '10\n'],
  drain: ['drain\n', 'up\n', 'ready\n', 'drain maint\n', 'READY\n'],
  maint: ['maint\n', 'up\n', 'maint down\n', 'ready\n', 'up\n'],
  maxconn: ['maxconn:7\n', 'maxconn:9x\n', 'maxconn:x\n', 'MAXCONN:3 up\n'],
  words: ['nonsense\n', 'up nonsense\n', 'fail nonsense # why\n', 'fail nonsense\n', ' \tready,,up 30% # 5\n', '\n', 'up#x\n'],
  empty: ['', 'up\n', ''],
  incomplete: ['up\n', 'down', 'down\n', 'up'],
  checked: ['up\n', 'down\n', 'up\n', 'drain\n', 'ready\n'],
  ill: ['up\n', 'down\n', 'up\n'],
  followed: ['up\n', 'down\n', 'up\n'],
};
const names = Object.keys(scripts);
const steps = Math.max(...Object.values(scripts).map(({length}) => length));

interface Side {
  readonly name: string;
  readonly ask: (command: string) => Promise<string>;
}

interface Agents {
  readonly sides: readonly [theirs: Side, ours: Side];
  /** Of all agents: the number of their lines. */
  step: number;
  /** By `side-name`: how often it was asked since the last step. */
  readonly asked: Map<string, number>;
}

async function openAgents(
  t: ExecutionContext,
  servers: (ports: {readonly agent: number; readonly open: number; readonly closed: number}) => string,
): Promise<Agents> {
  const {path: directory, ...owned} = await temporaryDirectory();
  t.teardown(() => owned[Symbol.asyncDispose]());
  const state = {step: 0, asked: new Map<string, number>()};
  const agent = await testServer((socket: Socket) => {
    socket.on('error', () => undefined);
    socket.once('data', (data: Buffer) => {
      const name = data.toString().trim();
      state.asked.set(name, (state.asked.get(name) ?? 0) + 1);
      const script = scripts[name.replace(/^\w+-/, '')] ?? ['\n'];
      socket.end(script[Math.min(state.step, script.length - 1)] ?? '');
    });
  });
  t.teardown(() => agent[Symbol.asyncDispose]());
  const open = await testServer((socket: Socket) => void socket.on('error', () => undefined).resume());
  t.teardown(() => open[Symbol.asyncDispose]());
  const lines = servers({agent: agent.port, open: open.port, closed: await freePort()});
  const side = async (name: string, start: (text: string, socket: string) => Promise<unknown>): Promise<Side> => {
    const socket = join(directory, `${name}.sock`);
    const frontend = `frontend f\n  bind 127.0.0.1:${await freePort()}\n  default_backend b\n`;
    await start(
      `global\n  stats socket ${socket} mode 600 level admin\n.if !feature(PICOGATE)\n  max-spread-checks 100\n.endif\n${frontend}${lines.replaceAll('SIDE', name)}`,
      socket,
    );
    return {name, ask: (command) => askSocket(socket, `${command}\n`)};
  };
  const theirs = await side('theirs', async (text, socket) => {
    const haproxy = await startHaproxy(directory, text, socket);
    t.teardown(() => haproxy[Symbol.asyncDispose]());
  });
  const ours = await side('ours', (text) => dropInProgram(t, text));
  return Object.assign(state, {sides: [theirs, ours] as const});
}

const columns =
  'status weight uweight slim act bck tracked agent_status agent_code last_agt agent_desc agent_rise agent_fall agent_health chkfail chkdown check_status check_health'.split(
    ' ',
  );

/** The states of both, which may take their time to become equal. */
async function bothStates({sides}: Agents): Promise<readonly [theirs: unknown, ours: unknown]> {
  let states: readonly unknown[] = [];
  await until(
    async () => {
      states = await Promise.all(sides.map(stateOf));
      return isDeepStrictEqual(states[0], states[1]);
    },
    {timeoutMs: 3000},
  ).catch(() => undefined);
  return [states[0], states[1]];
}

/** While a check runs nothing is told of its last result. */
async function stateOf({ask}: Side): Promise<Record<string, unknown>> {
  let csv = '';
  let states = '';
  await until(async () => {
    csv = await ask('show stat');
    states = await ask('show servers state');
    const running = states.split('\n').some((line) =>
      line
        .split(' ')
        .slice(13, 15)
        .some((word) => Number(word) % 2 === 1),
    );
    return !running && !/,\* |,INI,/.test(csv);
  });
  const rows = [...parseStat(csv)].filter(([name]) => name.startsWith('b/'));
  // Neither the time since the last change, nor the health by checks, which HAProxy forgets of servers without checks when they are in maintenance.
  const stable = states.split('\n').map((line) =>
    line
      .split(' ')
      .filter((_word, at) => at !== 9 && at !== 12)
      .join(' '),
  );
  return {rows: Object.fromEntries(rows.map(([name, row]) => [name, Object.fromEntries(columns.map((column) => [column, row[column]]))])), states: stable};
}

haproxyTest('what agents say does to their servers what it does in HAProxy', async (t) => {
  t.timeout(120_000);
  const agents = await openAgents(
    t,
    ({agent, open, closed}) => `backend b
  timeout check 2s
  fullconn 100
  default-server agent-check agent-inter 200ms weight 10
${names
  .map((name) => {
    const checks = name === 'checked' || name === 'followed' ? ' check inter 1h' : name === 'ill' ? ` check inter 100ms port ${closed}` : '';
    return `  server ${name} 127.0.0.1:${open} agent-port ${agent} agent-send "SIDE-${name}\\n"${checks}`;
  })
  .join('\n')}
  server nobody 127.0.0.1:${open} agent-port ${closed}
  server elsewhere 127.0.0.2:${open} agent-addr 127.0.0.1 agent-port ${agent} agent-send "SIDE-elsewhere\\n"
  server follower 127.0.0.1:${open} no-agent-check track b/followed
  server alone 127.0.0.1:${open} no-agent-check
`,
  );
  for (let step = 0; step < steps; step++) {
    agents.step = step;
    agents.asked.clear();
    // An answer that was asked for before the step may come after it.
    await until(() => agents.sides.every((side) => names.every((name) => (agents.asked.get(`${side.name}-${name}`) ?? 0) >= 3)), {what: `step ${step}`});
    const [theirs, ours] = await bothStates(agents);
    t.deepEqual(ours, theirs, `step ${step}`);
  }
});

haproxyTest('commands about agents have the answers of HAProxy, and its effects', async (t) => {
  t.timeout(60_000);
  const agents = await openAgents(
    t,
    ({agent, open, closed}) => `backend b
  fullconn 100
  server s 127.0.0.1:${open} agent-check agent-inter 200ms agent-port ${agent} agent-send "SIDE-quiet\\n"
  server t 127.0.0.1:${open} check inter 1h agent-check agent-inter 200ms agent-port ${closed}
  server plain 127.0.0.1:${open}
`,
  );
  for (const command of [
    'set server b/plain agent up',
    'set server b/plain agent-addr 127.0.0.1',
    'set server b/plain agent-port 5',
    'set server b/plain agent-send x',
    'enable agent b/plain',
    'disable agent b/plain',
    'disable agent b/none',
    'enable agent',
    'set server b/s agent',
    'set server b/s agent sideways',
    'set server b/s agent down',
    'show stat',
    'set server b/s agent up',
    'show stat',
    'set server b/s agent-addr',
    'set server b/s agent-addr 1.2.3.4.5',
    'set server b/s agent-addr 127.0.0.2 port x',
    'set server b/s agent-addr 127.0.0.2 port 70000',
    'set server b/s agent-port',
    'set server b/s agent-port x',
    'set server b/s agent-port 70000',
    'show stat',
    'disable agent b/s',
    'set server b/s agent up',
    'set server b/s agent-port 5',
    'set server b/s agent-send x',
    'show stat',
    'enable agent b/s',
    'set server b/s agent-addr 127.0.0.3 port 7',
    'set server b/t agent down',
    'show stat',
    'set server b/t health up',
    'show stat',
    'set server b/t agent down',
    'disable agent b/t',
    'show stat',
    'add server b/new 127.0.0.1:9 agent-check agent-port 9',
    'set server b/new agent up',
    'show stat',
    'enable agent b/new',
    'set server b/new agent down',
    'enable server b/new',
    'show stat',
  ]) {
    if (command === 'show stat') {
      const [theirs, ours] = await bothStates(agents);
      t.deepEqual(ours, theirs, command);
    } else {
      const [theirs, ours] = await Promise.all(agents.sides.map(({ask}) => ask(command)));
      t.is(ours, theirs, command);
    }
  }
});
