/** Supervisor and edge as processes of their own, on one host. */
import {chmod, copyFile, readFile} from 'node:fs/promises';
import {join} from 'node:path';
import type {ExecutionContext} from 'ava';
import {type Daemon, startDaemon} from '../../src/core/command.ts';
import {askSocket} from '../admin/stats-client.ts';
import {durableApp, verified} from '../helpers/durable-app.ts';
import {freePort, programPath, type TestGateway, testGateway} from '../helpers/gateway.ts';
import {ask, lineClient} from '../helpers/line-client.ts';
import {lonelyRedis} from '../helpers/redis-servers.ts';
import {rootTest} from '../helpers/root-test.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';
import {until} from '../helpers/until.ts';

/** As nobody, who could not run an app. */
async function startEdge(t: ExecutionContext, configFile: string): Promise<Daemon> {
  const asNobody = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', 'env', '-u', 'NODE_COMPILE_CACHE', 'HOME=/nowhere'] as const;
  const edge = await startDaemon([...asNobody, programPath, 'edge', '-f', configFile, '--ready-fd', '3'], {stdio: ['ignore', 'ignore', 'pipe', 'pipe']});
  t.teardown(() => edge[Symbol.asyncDispose]());
  const ready = edge.child.stdio[3];
  await new Promise<void>((resolve, reject) => {
    ready?.once('data', () => resolve());
    void edge.exited.then(({stderr, exitCode}) => reject(new Error(`the edge ended with ${exitCode}: ${stderr}`)));
  });
  return edge;
}

/** What is left of root's rights in picogate-supervisor.service. */
async function rightsOfUnit(): Promise<readonly string[]> {
  const unit = await readFile(new URL('../../systemd/picogate-supervisor.service', import.meta.url), 'utf8');
  const dropped = [...unit.matchAll(/^CapabilityBoundingSet=~(.*)$/gm)].flatMap(([, names = '']) => names.split(' '));
  return ['setpriv', '--no-new-privs', `--bounding-set=${dropped.map((name) => `-${name.replace('CAP_', '').toLowerCase()}`).join(',')}`];
}

async function hibernates(gateway: TestGateway): Promise<boolean> {
  return gateway.cli('hibernate', 'a').then(
    () => true,
    () => false,
  );
}

rootTest('an edge without rights serves the apps of a supervisor, which may be restarted meanwhile', async (t) => {
  const redis = await lonelyRedis();
  t.teardown(() => redis[Symbol.asyncDispose]());
  const directory = await temporaryDirectory();
  t.teardown(() => directory[Symbol.asyncDispose]());
  const [port, natPort, statsPort] = [await freePort(), await freePort(), await freePort()];
  const socket = join(directory.path, 'stats');
  const sections = `${await durableApp('a', ['hibernate-after never'])}
frontend f
    bind 127.0.0.1:${port}
    default_backend a
frontend n
    mode nat
    bind 127.0.0.1:${natPort}
    default_backend a
frontend statistics
    mode http
    bind 127.0.0.1:${statsPort}
    stats enable
    stats uri /
backend a
    server s app:a:80 check inter 100
`;
  const gateway = await testGateway(t, sections, {
    command: 'supervisor',
    under: await rightsOfUnit(),
    globals: `    redis ${redis.url}\n    stats socket ${socket}\n`,
  });
  await gateway.start();
  t.is(await ask(natPort, 'count'), '1');
  await t.throwsAsync(ask(port, 'count'), {message: /ECONNREFUSED/});

  const configFile = join(directory.path, 'picogate.cfg');
  await copyFile(gateway.configFile, configFile);
  await chmod(configFile, 0o644);
  await chmod(directory.path, 0o777);
  const edge = await startEdge(t, configFile);
  await until(async () => /^a,s,.*,L4OK,/m.test(await askSocket(socket, 'show stat\n')), {what: 'a check of the app that was awake before the edge was there'});
  t.deepEqual([await ask(port, 'count'), await ask(natPort, 'count')], ['2', '3']);
  t.regex(await askSocket(socket, 'show stat\n'), /^f,FRONTEND,/m);
  const shown = (await (await fetch(`http://127.0.0.1:${statsPort}/;state`)).json()) as {set: Record<string, {state?: string}>};
  t.is(shown.set['app/a']?.state, 'running', 'the dashboard of the edge has the apps of the supervisor');

  // Nothing is put to sleep over a client that waits, although only the edge knows of it.
  using client = await lineClient(port);
  t.is(await client.request('count'), '4');
  client.socket.write('agr');
  await until(async () => (await redis.servers[0]?.ask('GET', 'picogate:{a}:busy')) !== '', {what: 'word of the client'});
  t.deepEqual([await hibernates(gateway), (await gateway.app('a')).state], [false, 'running']);
  t.is(await client.request('ee'), '4 4');
  await until(async () => hibernates(gateway), {what: 'the sleep'});
  t.is(await client.request('agree'), '4 4');

  await gateway.stop();
  const asked = ask(port, 'count');
  await gateway.start();
  t.is(await asked, '5');
  t.is(await ask(port, 'verify'), verified);

  using held = await lineClient(port);
  t.is(await held.request('count'), '6');
  await gateway.stop('SIGKILL');
  const counted = held.request('count');
  await gateway.start();
  t.is(await counted, '7', 'a session of the edge outlives a supervisor that is killed');
  t.is(await ask(natPort, 'agree'), '7 7');
  await until(async () => hibernates(gateway), {what: 'the sleep'});
  t.is(await held.request('agree'), '7 7');
  edge.child.kill('SIGTERM');
  t.is((await edge.exited).exitCode, 0);
});
