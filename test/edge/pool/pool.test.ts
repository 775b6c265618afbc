import test from 'ava';
import {errorCode} from '../../../src/core/errors.ts';
import {settled} from './fake-clock.ts';
import {check, end, schedule, server, testPool} from './pool-fixture.ts';

const refused = Object.assign(new Error('connect ECONNREFUSED'), {code: 'ECONNREFUSED'});

test('sessions take turns, and what they did is counted', async (t) => {
  using web = testPool({servers: [server('s1'), server('s2')]});
  const first = await web.open();
  const second = await web.open();
  t.deepEqual([first.server?.name, second.server?.name], ['s1', 's2']);
  t.deepEqual(first.endpoint, {host: '127.0.0.1', port: 80, path: null});
  t.is(web.pool.sessions(), 2);
  first.response(204);
  end(first);
  end(first);
  t.is(web.pool.sessions(), 1);
  t.like(web.server('s1').stats, {sessionsTotal: 1, balancedTotal: 1, sessionsMax: 1, bytesIn: 10, bytesOut: 20});
  t.deepEqual(web.server('s1').stats.responses, [0, 0, 1, 0, 0, 0]);
  t.like(web.pool.stats, {sessionsTotal: 2, sessionsMax: 2, bytesIn: 10});
});

test('beyond maxconn sessions wait for any server, first come first served', async (t) => {
  using web = testPool({servers: [server('s1', {maxconn: 1}), server('s2', {maxconn: 1})], backend: {queueTimeoutMs: 500}});
  const [a, b] = [await web.open(), await web.open()];
  const served: string[] = [];
  const waiting = ['c', 'd'].map((name) =>
    web.open().then((assignment) => {
      served.push(`${name} by ${assignment.server?.name ?? ''}`);
      return assignment;
    }),
  );
  await settled();
  t.is(web.pool.queued, 2);
  await web.clock.advance(100);
  end(b);
  await settled();
  end(a);
  const [c] = await Promise.all(waiting);
  t.deepEqual(served, ['c by s2', 'd by s1']);
  t.is(c?.queuedMs, 100);
  t.like(web.pool.stats, {queueMax: 2, sessionsMax: 4});
});

test('a session waits no longer than the queue time-out, which is that of connecting when none is set', async (t) => {
  using web = testPool({servers: [server('s1', {maxconn: 1})], backend: {connectTimeoutMs: 300}});
  await web.open();
  const late = t.throwsAsync(web.open(), {code: 'ERR_QUEUE_TIMEOUT', message: 'Cannot give a session to backend "web": no free place within 300 ms'});
  await web.clock.advance(300);
  await late;
  t.is(web.pool.queued, 0);
  t.is(web.pool.sessions(), 1);
  t.is(web.clock.pending, 0);
});

test('a client that leaves frees its place in the queue and at the server at once', async (t) => {
  using web = testPool({servers: [server('s1', {maxconn: 1})]});
  const first = await web.open();
  const leaving = new AbortController();
  const left = t.throwsAsync(web.open({}, leaving.signal), {message: 'gone'});
  const next = web.open();
  await settled();
  leaving.abort(new Error('gone'));
  await left;
  t.is(web.pool.queued, 1);
  end(first);
  t.is((await next).server?.name, 's1');
});

test('a client that leaves in the moment when it is given a place does not keep it', async (t) => {
  using web = testPool({servers: [server('s1', {maxconn: 1})]});
  const first = await web.open();
  const leaving = new AbortController();
  const left = t.throwsAsync(web.open({}, leaving.signal));
  await settled();
  end(first);
  leaving.abort(new Error('gone'));
  await left;
  t.is(web.server('s1').sessions.size, 0);
  t.is(web.pool.sessions(), 0);
});

test('a source that fills the queue makes room for others, newest first; others are not displaced', async (t) => {
  using web = testPool({servers: [server('s1', {maxconn: 1})], maxWaiting: 4});
  await web.open();
  const outcomes: string[] = [];
  const open = (source: string, name: string): void => {
    void web.open({source}).then(
      () => outcomes.push(`${name} served`),
      (error: unknown) => outcomes.push(`${name} ${errorCode(error) ?? ''}`),
    );
  };
  for (const name of ['a1', 'a2', 'a3', 'a4', 'a5']) open('192.0.2.1', name);
  await settled();
  t.deepEqual(outcomes, ['a5 ERR_QUEUE_FULL']);
  open('192.0.2.2', 'b1');
  open('192.0.2.2', 'b2');
  open('192.0.2.2', 'b3');
  await settled();
  t.deepEqual(outcomes.slice(1).sort(), ['a3 ERR_QUEUE_FULL', 'a4 ERR_QUEUE_FULL', 'b3 ERR_QUEUE_FULL']);
});

test('a session goes to the server that it belongs to, and waits for it when that is full, up to maxqueue', async (t) => {
  using web = testPool({servers: [server('s1'), server('s2', {maxconn: 1, maxqueue: 1})]});
  const first = await web.open({preferred: ['gone', 's2']});
  t.is(first.server?.name, 's2');
  t.is(web.server('s2').stats.balancedTotal, 0);
  const waits = web.open({preferred: ['s2']});
  await settled();
  await t.throwsAsync(web.open({preferred: ['s2']}), {
    code: 'ERR_QUEUE_FULL',
    message: 'Cannot hold another session for server "web/s2": 1 wait already (maxqueue)',
  });
  t.is((await web.open()).server?.name, 's1');
  end(first);
  t.is((await waits).server?.name, 's2');
});

test('a server that drains takes only sessions that belong to it, one in maintenance none', async (t) => {
  using web = testPool({servers: [server('s1'), server('s2')]});
  web.server('s2').setAdmin('drain');
  t.is(web.server('s2').status, 'DRAIN');
  for (let count = 0; count < 3; count++) t.is((await web.open()).server?.name, 's1');
  t.is((await web.open({preferred: ['s2']})).server?.name, 's2');
  web.server('s2').setAdmin('maint');
  t.is((await web.open({preferred: ['s2']})).server?.name, 's1');
  web.server('s1').setAdmin('maint');
  await t.throwsAsync(web.open(), {code: 'ERR_NO_SERVER', message: 'Cannot find a server of backend "web": none of them can be used'});
  web.server('s1').setAdmin('ready');
  t.is((await web.open()).server?.name, 's1');
  t.deepEqual(web.lines, [
    'Server web/s2 enters drain state. 1 active and 0 backup servers online. 0 sessions requeued, 0 total in queue.',
    'Server web/s2 is going DOWN for maintenance. 1 active and 0 backup servers left. 1 sessions active, 0 requeued, 0 remaining in queue.',
    'Server web/s1 is going DOWN for maintenance. 0 active and 0 backup servers left. 4 sessions active, 0 requeued, 0 remaining in queue.',
    'backend web has no server available!',
    'Server web/s1 is UP/READY (leaving forced maintenance).',
  ]);
});

test('weight 0 drains, and weights change the turns', async (t) => {
  using web = testPool({servers: [server('s1'), server('s2')]});
  web.server('s1').setWeight(0);
  for (let count = 0; count < 3; count++) t.is((await web.open()).server?.name, 's2');
  web.server('s1').setWeight(3);
  const names = await Promise.all(Array.from({length: 8}, async () => (await web.open()).server?.name));
  t.is(names.filter((name) => name === 's1').length, 6);
});

test('backup servers are used when no other is up: the first one, or all', async (t) => {
  for (const [allBackups, expected] of [
    [false, ['b1', 'b1']],
    [true, ['b1', 'b2']],
  ] as const) {
    using web = testPool({servers: [server('s1', {check: schedule}), server('b1', {backup: true}), server('b2', {backup: true})], backend: {allBackups}});
    t.is((await web.open()).server?.name, 's1');
    check(web.server('s1'), 'L4CON');
    const names = [(await web.open()).server?.name, (await web.open()).server?.name];
    t.deepEqual(names, [...expected]);
    t.regex(
      web.lines[0] ?? '',
      /Server web\/s1 is DOWN, reason: Layer4 connection problem, check duration: 1ms. 0 active and 2 backup servers left. Running on backup./,
    );
  }
});

test('rise and fall: one failure after the start, then as many as configured', (t) => {
  using web = testPool({servers: [server('s1', {check: schedule})]});
  const s1 = web.server('s1');
  const after = (status: 'L4OK' | 'L4CON'): string => {
    check(s1, status);
    return s1.status;
  };
  t.is(after('L4CON'), 'DOWN');
  t.is(after('L4OK'), 'DOWN 1/2');
  t.is(after('L4CON'), 'DOWN');
  t.deepEqual([after('L4OK'), after('L4OK')], ['DOWN 1/2', 'UP']);
  t.deepEqual([after('L4CON'), after('L4CON'), after('L4OK')], ['UP 2/3', 'UP 1/3', 'UP']);
  t.deepEqual([after('L4CON'), after('L4CON'), after('L4CON')], ['UP 2/3', 'UP 1/3', 'DOWN']);
  t.like(s1.stats, {timesDown: 2, failedChecks: 7});
});

test('404 where it drains, and a check that passes again', async (t) => {
  using web = testPool({servers: [server('s1', {check: schedule}), server('s2')]});
  check(web.server('s1'), 'L7OKC');
  t.is(web.server('s1').status, 'NOLB');
  t.is((await web.open()).server?.name, 's2');
  t.is((await web.open({preferred: ['s1']})).server?.name, 's1');
  check(web.server('s1'), 'L7OK');
  t.is(web.server('s1').status, 'UP');
});

test('sessions in the queue of a server that goes down go elsewhere, but for those that belong to it without redispatch', async (t) => {
  for (const redispatch of [null, 0]) {
    using web = testPool({
      servers: [server('s1', {maxconn: 1, check: schedule}), server('s2')],
      backend: {redispatch, balance: {kind: 'source'}, queueTimeoutMs: 1000},
    });
    await web.open({preferred: ['s1']});
    const belongs = web.open({preferred: ['s1']}).then(
      ({server: given}): string | undefined => given?.name,
      (error: unknown) => errorCode(error),
    );
    await settled();
    check(web.server('s1'), 'L4TOUT');
    await web.clock.advance(1000);
    t.is(await belongs, redispatch === null ? 'ERR_QUEUE_TIMEOUT' : 's2');
  }
});

test('a server that starts slowly gets its weight and its maxconn step by step', async (t) => {
  using web = testPool({servers: [server('s1', {check: schedule, slowStartMs: 10_000, weight: 10, maxconn: 100})]});
  const s1 = web.server('s1');
  t.deepEqual([s1.effectiveWeight, s1.maxconn], [160, 100]);
  check(s1, 'L4CON');
  check(s1, 'L4OK', 2);
  t.deepEqual([s1.effectiveWeight, s1.maxconn], [10, 1]);
  await web.clock.advance(5000);
  t.deepEqual([s1.effectiveWeight, s1.maxconn], [90, 50]);
  await web.clock.advance(5000);
  t.deepEqual([s1.effectiveWeight, s1.maxconn], [160, 100]);
  t.is(web.clock.pending, 0);
});

test('minconn grows to maxconn with the sessions of the backend', async (t) => {
  using web = testPool({servers: [server('s1', {minconn: 2, maxconn: 10}), server('s2')], backend: {fullconn: 10}});
  t.is(web.server('s1').maxconn, 2);
  for (let count = 0; count < 5; count++) await web.open({preferred: ['s2']});
  t.is(web.server('s1').maxconn, 5);
  for (let count = 0; count < 20; count++) await web.open({preferred: ['s2']});
  t.is(web.server('s1').maxconn, 10);
});

test('a server that cannot be connected to is tried again after a second, as often as configured', async (t) => {
  using web = testPool({servers: [server('s1')], backend: {retries: 2}});
  const assignment = await web.open();
  const {signal} = new AbortController();
  for (let attempt = 0; attempt < 2; attempt++) {
    let isDue = false;
    const retry = assignment.retry(refused, signal).then(() => {
      isDue = true;
    });
    await web.clock.advance(999);
    t.false(isDue);
    await web.clock.advance(1);
    await retry;
  }
  await t.throwsAsync(assignment.retry(refused, signal), {
    code: 'ERR_CONNECT',
    message: 'Cannot connect to server "web/s1" at 127.0.0.1:80: connect ECONNREFUSED',
  });
  t.like(web.server('s1').stats, {retries: 2, redispatches: 0, connectErrors: 1});
  t.is(web.pool.sessions(), 0);
});

test('redispatch: the last attempt, every nth, or each where sessions take turns', async (t) => {
  const cases = [
    {balance: 'source', redispatch: null, expected: 's1 s1 s1 s1'},
    {balance: 'source', redispatch: 0, expected: 's1 s1 s1 s2'},
    {balance: 'source', redispatch: 1, expected: 's1 s2 s1 s2'},
    {balance: 'source', redispatch: 2, expected: 's1 s1 s2 s2'},
    {balance: 'source', redispatch: -2, expected: 's1 s1 s2 s2'},
    {balance: 'roundrobin', redispatch: null, expected: 's1 s2 s1 s2'},
  ] as const;
  for (const {balance, redispatch, expected} of cases) {
    // The sum of the words of this address is even: the first of two servers.
    using web = testPool({
      servers: [server('s1'), server('s2')],
      backend: {balance: {kind: balance}, redispatch, hash: {kind: 'consistent', function: 'sdbm', avalanche: false}},
    });
    const assignment = await web.open({source: '0.0.0.1', preferred: balance === 'source' ? ['s1'] : []});
    const names = [assignment.server?.name];
    for (let attempt = 0; attempt < 3; attempt++) {
      const retry = assignment.retry(refused, new AbortController().signal);
      await web.clock.advance(1000);
      await retry;
      names.push(assignment.server?.name);
    }
    t.is(names.join(' '), expected, `${balance} ${redispatch ?? 'none'}`);
    t.is(web.server('s1').sessions.size + web.server('s2').sessions.size, 1);
  }
});

test('a server that is marked down or up ends the sessions that it should', async (t) => {
  using web = testPool({
    servers: [server('s1', {check: schedule, onMarkedDown: 'shutdown-sessions', onMarkedUp: 'shutdown-backup-sessions'}), server('b1', {backup: true})],
  });
  const cut: string[] = [];
  const open = async (): Promise<void> => {
    const assignment = await web.open();
    const name = assignment.server?.name ?? '';
    assignment.ends({
      cut(cause) {
        cut.push(`${name} ${cause}`);
        end(assignment);
      },
    });
  };
  await open();
  check(web.server('s1'), 'L4CON');
  t.deepEqual(cut, ['s1 D']);
  await open();
  await open();
  check(web.server('s1'), 'L4OK', 2);
  t.deepEqual(cut, ['s1 D', 'b1 U', 'b1 U']);
  t.is(web.pool.sessions(), 0);
});

test('a server that tracks another has its state', async (t) => {
  using web = testPool({servers: [server('s1', {check: schedule}), server('s2', {track: 'web/s1'})]});
  web.server('s2').follow(web.server('s1'));
  check(web.server('s1'), 'L4CON');
  t.deepEqual([web.server('s1').condition, web.server('s2').condition], ['down', 'down']);
  t.regex(web.lines.join('\n'), /Server web\/s2 is DOWN via web\/s1/);
  await t.throwsAsync(web.open(), {code: 'ERR_NO_SERVER'});
  check(web.server('s1'), 'L4OK', 2);
  t.is(web.server('s2').condition, 'up');
});

test('fifty sessions that wait for places of a hundred sources are all served, and nothing is left', async (t) => {
  using web = testPool({servers: [server('s1', {maxconn: 2}), server('s2', {maxconn: 3})], backend: {queueTimeoutMs: 10_000}});
  const sessions = Array.from({length: 50}, async (_, at) => {
    const assignment = await web.open({source: `192.0.2.${at}`});
    t.true(web.server('s1').sessions.size <= 2 && web.server('s2').sessions.size <= 3);
    await settled();
    end(assignment);
  });
  await Promise.all(sessions);
  t.is(web.pool.sessions(), 0);
  t.is(web.pool.queued, 0);
  t.is(web.clock.pending, 0);
});

test('what show stat tells of a server', async (t) => {
  using web = testPool({servers: [server('s1', {check: schedule, maxconn: 5}), server('s2', {backup: true})]});
  const session = await web.open();
  session.response(200);
  session.connected(3);
  check(web.server('s1'), 'L7STS');
  await web.clock.advance(2500);
  const s1 = web.server('s1');
  t.like(s1, {status: 'DOWN', health: 0, configuredMaxconn: 5, condition: 'down'});
  t.is(s1.sessions.size, 1);
  t.is(s1.lastCheck?.status, 'L7STS');
  t.like(s1.stats, {sessionsTotal: 1, failedChecks: 1, timesDown: 1, changedAtMs: web.clock.monotonicMs() - 2500, responses: [0, 0, 1, 0, 0, 0]});
  t.is(s1.stats.connectMs.value, 3);
  t.like(web.server('s2'), {status: 'no check', condition: 'up'});
  t.like(web.pool.stats, {sessionsTotal: 1, responses: [0, 0, 1, 0, 0, 0]});
  t.is(web.pool.usableServers, 1);
});
