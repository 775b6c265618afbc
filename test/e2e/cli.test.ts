/** The commands of a running gateway, as scripts use them. */
import {once} from 'node:events';
import {createInterface} from 'node:readline';
import {fileURLToPath} from 'node:url';
import {run, startDaemon} from '../../src/core/command.ts';
import {durableApp, durableGateway, listen, verified} from '../helpers/durable-app.ts';
import {freePort, programPath, type TestGateway, testGateway} from '../helpers/gateway.ts';
import {ask} from '../helpers/line-client.ts';
import {rootTest} from '../helpers/root-test.ts';
import {type Ended, runProgram} from '../helpers/run-program.ts';

type Fields = Readonly<Record<string, unknown>>;

/** The type of each field, for a comparison that does not depend on values. */
function typesOf(value: unknown): Record<string, string> {
  return Object.fromEntries(Object.entries(value as Fields).map(([name, field]) => [name, field === null ? 'null' : typeof field]));
}

const wakeTypes = {at: 'number', ms: 'number', trigger: 'string', predictedPages: 'number', faults: 'number'};
const hibernateTypes = {at: 'number', ms: 'number', frozenMs: 'number', bytesWritten: 'number'};

rootTest('apps, show, wake, hibernate, logs and events print the JSON that is promised, and exit as they should', async (t) => {
  t.timeout(60_000);
  const {gateway, port} = await durableGateway(t);
  await gateway.start();
  const json = async (...args: readonly string[]): Promise<unknown> => JSON.parse(await gateway.cli(...args, '--json')) as unknown;
  t.like(((await json('apps')) as Fields[])[0], {
    name: 'a',
    state: 'stopped',
    residency: 'none',
    generation: null,
    worker: null,
    lastWake: null,
    lastHibernate: null,
  });

  t.is(await json('wake', 'a'), 'running');
  const running = await gateway.reaches('a', 'running');
  t.like(running, {residency: 'hot', generation: null, lastHibernate: null});
  t.is(typeof running.worker, 'string');
  t.is(await json('hibernate', 'a'), 'hibernated');
  t.is(await ask(port, 'count'), '1');
  await gateway.hibernate('a');
  const row = await gateway.app('a');
  t.like(row, {state: 'hibernated', residency: 'warm', generation: 2, worker: null});
  t.like(typesOf(row.lastWake), wakeTypes);
  t.like(typesOf(row.lastHibernate), hibernateTypes);
  t.regex(row.lastWake?.trigger ?? '', /^tcp\/80 /);

  const shown = (await json('show', 'a')) as Fields;
  t.like(shown, {name: 'a', state: 'hibernated', pids: [], busySessions: 0, awakeBecause: null, paging: null});
  t.regex(await gateway.cli('show', 'a', '--csv'), /^field,value\r?\nname,a\r?\nstate,hibernated\r?\n(?:.*\r?\n)*lastHibernate,"\{""at"":/);
  t.regex(await gateway.cli('predicted', 'a', '--csv'), /^trigger,wakes,pages,installed_pages,hit_rate,unused_share,faults_left\n,1,[1-9]/);
  t.deepEqual(await json('logs', 'a'), ['2048 pages are ready']);
  t.is(await gateway.cli('logs', 'a'), '2048 pages are ready\n');
  const events = (await gateway.cli('events', '--json')).trim().split('\n');
  const parsed = events.map((line) => JSON.parse(line) as Fields);
  for (const kind of ['woken', 'hibernated'])
    t.true(
      parsed.some((event) => event['kind'] === kind && event['app'] === 'a'),
      kind,
    );
  for (const state of ['reviving', 'running', 'draining', 'checkpointing', 'hibernated']) {
    t.true(
      parsed.some((event) => event['kind'] === 'state' && event['to'] === state),
      state,
    );
  }
  t.regex(await gateway.cli('apps', '--csv', '--sort', '-name'), /^name,state,[^\n]*\na,hibernated,file,warm,2,/);
  t.is((await runProgram(['__complete', 'show', '-f', gateway.configFile, ''])).stdout, 'a\tapp\n');
  t.regex(await gateway.cli('apps'), /NAME +STATE[^\n]*\na +hibernated +file +warm +2 /);
  t.regex(await gateway.cli('show', 'a'), /state +hibernated/);
  for (const args of [['show', 'b'], ['logs', 'b'], ['hibernate', 'b'], ['hibernate', 'a'], ['nonsense'], ['wake']]) {
    const ended = await runProgram([...args, ...(args[0] === 'nonsense' ? [] : ['-f', gateway.configFile])]);
    t.is(ended.exitCode, 1, args.join(' '));
    t.not(ended.stderr, '', args.join(' '));
  }
});

rootTest('events -f prints what happens until it is interrupted', async (t) => {
  t.timeout(60_000);
  const {gateway, port} = await durableGateway(t);
  await gateway.start();
  const follower = await startDaemon([programPath, 'events', '-f', '--json'], {
    stdio: ['ignore', 'pipe', 'ignore'],
    env: {...process.env, PICOGATE_CONFIG: gateway.configFile},
  });
  t.teardown(() => follower[Symbol.asyncDispose]());
  const {stdout} = follower.child;
  if (stdout === null) return void t.fail('no output');
  await ask(port, 'count');
  for await (const line of createInterface({input: stdout})) {
    const event = JSON.parse(line) as Fields;
    if (event['kind'] !== 'woken') continue;
    t.like(event, {app: 'a', cold: 1});
    break;
  }
  process.kill(follower.pid, 'SIGINT');
  t.like(await follower.exited, {exitCode: 0});
});

/** Runs a command in app `a`. */
function executeIn(gateway: TestGateway, words: readonly string[]): Promise<Ended> {
  return runProgram(['exec', 'a', '-f', gateway.configFile, '--', ...words]);
}

rootTest('exec runs commands in an app that is awake, and keeps it awake meanwhile', async (t) => {
  t.timeout(60_000);
  const {gateway, port} = await durableGateway(t);
  await gateway.start();
  const asleep = await executeIn(gateway, ['python3', '-V']);
  t.deepEqual([asleep.exitCode, /Cannot run a command in app "a": it is stopped; --wake wakes it first/.test(asleep.stderr)], [125, true]);
  const listed = 'import os, sys; print(os.getpid() > 1, open("/proc/1/cmdline").read().split("\\0")[1]); sys.exit(7)';
  const status = await runProgram(['exec', 'a', '--wake', '-f', gateway.configFile, '--', 'sh', '-c', `python3 -c '${listed}' >&2`]);
  t.deepEqual([status.exitCode, status.stderr], [7, 'True /srv/durable-server.py\n']);
  t.is((await executeIn(gateway, ['/nonexistent'])).exitCode, 127);
  t.is((await executeIn(gateway, ['sh', '-c', 'kill -9 $$'])).exitCode, 137);
  const restricted = await executeIn(gateway, [
    'sh',
    '-c',
    'while read -r line; do case $line in CapEff*|NoNewPrivs*|Seccomp:*) echo $line;; esac; done </proc/self/status',
  ]);
  t.regex(restricted.stdout, /^CapEff: 0000000[0-9a-f]{9}\nNoNewPrivs: 1\nSeccomp: 2\n$/);
  // What it leaves in the background ends with it, and the app may sleep at once.
  t.is((await executeIn(gateway, ['sh', '-c', 'python3 -c "import time; time.sleep(60)" >/dev/null 2>&1 &'])).exitCode, 0);
  t.is(await ask(port, 'count'), '1');
  await gateway.hibernate('a');

  const command = `stty cols 77; exec ${programPath} exec a --wake -it -f ${gateway.configFile} -- python3 -c 'import os; print(os.get_terminal_size().columns, os.ttyname(0))'`;
  t.regex((await run(['script', '-qec', command, '/dev/null'], {timeoutMs: 20_000})).stdout, /77 \/dev\/pts\/0\r\n$/);
  const guest = await startDaemon([programPath, 'exec', 'a', '-f', gateway.configFile, '--', 'python3', '-uc', 'import time; print(1); time.sleep(60)'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  t.teardown(() => guest[Symbol.asyncDispose]());
  if (guest.child.stdout !== null) await once(guest.child.stdout, 'data');
  const refused = await t.throwsAsync(gateway.cli('hibernate', 'a'));
  t.regex(refused.message, /Cannot hibernate app "a": a command of "picogate exec" runs in it; --force ends it/);
  t.regex(await gateway.cli('explain', 'a'), /a command of "picogate exec" runs in it/);
  t.regex(await gateway.cli('top', '--once'), /^APP +STATE[^\n]*\na +running +\d+ s ago +\d+\.\d MiB/);
  await gateway.cli('hibernate', 'a', '--force');
  t.like(await guest.exited, {exitCode: 137});
  t.deepEqual([await ask(port, 'agree'), await ask(port, 'verify')], ['1 1', verified]);
  // What a terminal gets: a screen of its own, what the keys do, and the old screen back, by a key as by a signal.
  const keys = fileURLToPath(new URL('../fixtures/terminal-keys.py', import.meta.url));
  for (const steps of [
    ['running', 'h', 'a: hibernated', '/zz', 'filter: zz_', '\x1bq'],
    ['hibernated', 'SIGTERM'],
  ]) {
    const {stdout} = await run(['python3', keys, '60x12', ...steps, '--', programPath, 'top', '-f', gateway.configFile], {timeoutMs: 40_000});
    t.regex(stdout, /^\x1b\[\?1049h\x1b\[\?25l[\s\S]*\x1b\[\?25h\x1b\[\?1049l\n0\n$/);
  }
  for (const [words, word, shown] of [
    [['apps'], 'hibernated', /every 0\.3 s, [\s\S]*\x1b\[H[\s\S]*\na +hibernated[\s\S]*\n0\n$/],
    [['explain', 'a'], 'sleeps', /every 0\.3 s, [\s\S]*\x1b\[H[\s\S]*\nApp "a" sleeps[\s\S]*\n0\n$/],
  ] as const) {
    const watched = ['60x12', word, '', word, 'SIGTERM', '--', programPath, ...words, '--watch', '0.3', '-f', gateway.configFile];
    t.regex((await run(['python3', keys, ...watched], {timeoutMs: 40_000})).stdout, shown);
  }
});

rootTest('-c -f checks as HAProxy does, and doctor tells what it found', async (t) => {
  t.timeout(60_000);
  const {gateway} = await durableGateway(t);
  t.deepEqual(await runProgram(['-c', '-f', gateway.configFile]), {exitCode: 0, stdout: 'Configuration file is valid\n', stderr: ''});
  const checked = await runProgram(['check', '--json', '-f', gateway.configFile]);
  t.deepEqual(JSON.parse(checked.stdout), {valid: true, diagnostics: []});
  const none = await runProgram(['-c', '-f', '/nonexistent.cfg']);
  t.is(none.exitCode, 1);
  t.regex(none.stderr, /Cannot read configuration "\/nonexistent\.cfg"/);
  const doctor = await runProgram(['doctor', '--json']);
  t.is(doctor.exitCode, 0);
  for (const finding of JSON.parse(doctor.stdout) as Fields[]) t.like(typesOf(finding), {name: 'string', status: 'string', found: 'string'});
});

rootTest('two gateways side by side: each has its own apps, addresses and end', async (t) => {
  t.timeout(60_000);
  const options = ['hibernate-after never'];
  const ports = [await freePort(), await freePort()];
  const gateways = await Promise.all(
    ports.map(async (port) => {
      const gateway = await testGateway(t, `${await durableApp('a', options)}${listen('a', port)}`);
      return gateway;
    }),
  );
  const [first, second] = gateways;
  const [firstPort = 0, secondPort = 0] = ports;
  if (first === undefined || second === undefined) return void t.fail('two gateways are needed');
  await Promise.all([first.start(), second.start()]);
  t.deepEqual(await Promise.all([ask(firstPort, 'count'), ask(secondPort, 'count')]), ['1', '1']);
  const address = async (gateway: typeof first): Promise<unknown> => (JSON.parse(await gateway.cli('show', 'a', '--json')) as Fields)['address'];
  t.not(await address(first), await address(second));

  t.is(await ask(firstPort, 'count'), '2');
  await Promise.all([first.cli('hibernate', 'a'), second.cli('hibernate', 'a')]);
  t.deepEqual(await Promise.all([ask(firstPort, 'agree'), ask(secondPort, 'agree')]), ['2 2', '1 1']);
  await first.stop('SIGKILL');
  await first.cli('cleanup');
  t.is(await ask(secondPort, 'count'), '2');
  await second.hibernate('a');
  t.is(await ask(secondPort, 'verify'), 'ok 2048');
  await first.start();
  t.is(await ask(firstPort, 'agree'), '2 2');
  t.is((await second.stop()).exitCode, 0);
  t.is(await ask(firstPort, 'count'), '3');
});
