/** `agent-check`: what an agent says, and when it is asked. */
import test from 'ava';
import type {AgentCheck} from '../../../src/config/health.ts';
import {appName} from '../../../src/core/ids.ts';
import {type AgentAnswer, readAgentLine} from '../../../src/edge/checks/agent-check.ts';
import {type HealthChecks, startHealthChecks} from '../../../src/edge/checks/health-checks.ts';
import {until} from '../../helpers/until.ts';
import {testServer} from '../edge-fixture.ts';
import {FakeClock, settled} from '../pool/fake-clock.ts';
import {app, check, schedule, server, testPool} from '../pool/pool-fixture.ts';
import {checkSamples, tlsServices} from './check-services.ts';
import {FakeWatch} from './fake-watch.ts';

const agent: AgentCheck = {address: null, port: 1, intervalMs: 1000, send: ''};

function says(line: string): AgentAnswer {
  return {kind: 'words', words: readAgentLine(line), durationMs: 1};
}

for (const [line, words] of [
  ['', {}],
  [' , \t', {}],
  ['up', {health: {isUp: true, word: 'up'}}],
  ['up,down', {health: {isUp: false, word: 'down'}}],
  ['Stopped', {health: {isUp: false, word: 'Stopped'}}],
  ['ready\tup, 75%', {admin: 'ready', health: {isUp: true, word: 'up'}, weight: '75%'}],
  ['75', {unknown: '75'}],
  ['%', {unknown: '%'}],
  ['maxconn:5 MAXCONN:6', {maxconn: '6'}],
  ['drain MAINT', {admin: 'maint'}],
  ['fail # no, space left', {health: {isUp: false, word: 'fail'}, reason: 'no, space left'}],
  ['up#x y z', {unknown: 'up#x'}],
  ['#up', {reason: 'up'}],
] as const) {
  test(`readAgentLine() takes ${JSON.stringify(line)}`, (t) => {
    t.deepEqual(readAgentLine(line), {health: null, admin: null, weight: null, maxconn: null, unknown: null, reason: '', ...words});
  });
}

test('a long line of an agent takes no long time', (t) => {
  t.is(readAgentLine(`${' ,'.repeat(8000)}x#y`).unknown, 'x#y');
  t.is(readAgentLine('a'.repeat(16_000)).unknown?.length, 16_000);
});

test('an agent takes a server down and brings it up, as HAProxy tells it; what it does not say stays', (t) => {
  using web = testPool({servers: [server('s1', {agent, weight: 10, maxconn: 5})], backend: {logHealthChecks: true}});
  const s1 = web.server('s1');
  for (const line of ['down # disk full', 'nonsense', '50% maxconn:3', 'up', 'up']) s1.applyAgent(says(line));
  t.deepEqual([s1.status, s1.weight, s1.maxconn], ['no check', 5, 3]);
  t.deepEqual(web.lines, [
    'Agent check for server web/s1 failed, reason: Layer7 wrong status, code: 0, info: "via agent : down (disk full)", check duration: 1ms, status: 0/1 DOWN.',
    'Server web/s1 is DOWN. 0 active and 0 backup servers left. 0 sessions active, 0 requeued, 0 remaining in queue.',
    'backend web has no server available!',
    'Agent check for server web/s1 succeeded, reason: Layer7 check passed, code: 0, info: "via agent : up", check duration: 1ms, status: 1/1 UP.',
    'Server web/s1 is UP. 1 active and 0 backup servers online. 0 sessions requeued, 0 total in queue.',
  ]);
  s1.applyAgent(says('maint'));
  t.is(s1.condition, 'maint');
  s1.applyAgent(says('ready down'));
  t.is(s1.status, 'DOWN (agent)');
});

test('a server is up when neither its checks nor its agent hold it down', (t) => {
  using web = testPool({servers: [server('s1', {agent, check: schedule})]});
  const s1 = web.server('s1');
  s1.applyAgent(says('down'));
  check(s1, 'L4OK', 5);
  t.is(s1.status, 'DOWN (agent)');
  check(s1, 'L4CON', 5);
  s1.applyAgent(says('up'));
  t.is(s1.status, 'DOWN');
  check(s1, 'L4OK', 2);
  t.is(s1.status, 'UP');
  s1.applyAgent({kind: 'failed', result: {status: 'L4CON', code: 0, info: '', durationMs: 1}});
  t.is(s1.status, 'UP', 'an agent that does not answer changes nothing');
});

function start(web: ReturnType<typeof testPool>, clock: FakeClock, watch: FakeWatch | null = null): HealthChecks {
  const backends = [{config: web.pool.config, servers: web.pool.servers}];
  return startHealthChecks({backends, watch, services: tlsServices, samples: checkSamples, clock, spreadPercent: 0});
}

/** Answers as it is told, after it has read what it is sent. */
async function testAgent(): Promise<{port: number; line: string; readonly heard: string[]} & AsyncDisposable> {
  const heard: string[] = [];
  const listener = await testServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', (data: Buffer) => {
      heard.push(data.toString());
      if (state.line !== '') socket.end(state.line);
    });
  });
  const state = {port: listener.port, line: 'up\n', heard, [Symbol.asyncDispose]: () => listener[Symbol.asyncDispose]()};
  return state;
}

test('an agent is asked at its interval, in maintenance too, with what it is to be sent; one that is disabled or removed is not', async (t) => {
  const clock = new FakeClock();
  await using asked = await testAgent();
  using web = testPool({clock, servers: [server('s1', {agent: {...agent, port: asked.port, send: 'a\n'}, disabled: true})]});
  using checks = start(web, clock);
  const s1 = web.server('s1');
  asked.line = 'ready down\n';
  await clock.advance(0);
  await until(() => s1.status === 'DOWN (agent)');
  await settled();
  asked.line = 'up\n';
  s1.agent?.change({send: 'b\n'});
  await clock.advance(999);
  t.deepEqual(asked.heard, ['a\n']);
  await clock.advance(1);
  await until(() => s1.status === 'no check');
  await settled();
  t.deepEqual(asked.heard, ['a\n', 'b\n']);
  if (s1.agent !== null) s1.agent.isEnabled = false;
  await clock.advance(5000);
  t.is(asked.heard.length, 2);
  if (s1.agent !== null) s1.agent.isEnabled = true;
  await clock.advance(1000);
  await until(() => asked.heard.length === 3);
  await settled();
  checks.remove(s1);
  t.is(clock.pending, 0);
});

test('an agent that says nothing is late after its interval; one that is removed meanwhile is asked no more', async (t) => {
  const clock = new FakeClock();
  await using asked = await testAgent();
  asked.line = '';
  using web = testPool({clock, servers: [server('s1', {agent: {...agent, port: asked.port, send: 'a\n'}})]});
  using checks = start(web, clock);
  const s1 = web.server('s1');
  await clock.advance(0);
  await until(() => asked.heard.length === 1);
  await clock.advance(1000);
  await until(() => s1.agent?.last?.status === 'L7TOUT');
  t.is(s1.status, 'no check');
  await settled();
  await clock.advance(1000);
  await until(() => asked.heard.length === 2);
  checks.remove(s1);
  await settled();
  t.is(clock.pending, 0);
});

test('an app is asked only while it is awake; when it falls asleep, what its agent has said counts no more', async (t) => {
  const clock = new FakeClock();
  const watch = new FakeWatch();
  await using asked = await testAgent();
  const target = {kind: 'app', app: appName('blog'), port: 80} as const;
  using web = testPool({clock, watch, servers: [app('blog', {agent: {...agent, port: asked.port, send: 'a\n'}, weight: 10, maxconn: 7, target})]});
  using _checks = start(web, clock, watch);
  const blog = web.server('blog');
  await clock.advance(60_000);
  t.deepEqual([asked.heard.length, clock.pending], [0, 0]);
  asked.line = 'drain down 20% maxconn:1\n';
  watch.set('blog', '127.0.0.1');
  await clock.advance(0);
  await until(() => blog.status === 'DOWN (agent)');
  await settled();
  t.deepEqual([blog.admin, blog.weight, blog.configuredMaxconn], ['drain', 2, 1]);
  watch.set('blog', null);
  t.deepEqual([blog.status, blog.admin, blog.weight, blog.configuredMaxconn], ['no check', 'ready', 10, 7]);
  await clock.advance(60_000);
  t.is(asked.heard.length, 1);
  blog.setAdmin('drain');
  asked.line = 'maint\n';
  watch.set('blog', '127.0.0.1');
  await clock.advance(0);
  await until(() => blog.admin === 'maint');
  await settled();
  blog.setAdmin('drain');
  watch.set('blog', null);
  t.is(blog.admin, 'drain', 'what an operator has said stays');
});
