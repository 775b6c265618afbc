/** What an operator can get wrong before anything runs: a message that says what, and an exit status. */
import {once} from 'node:events';
import {chmod, mkdtemp, rename, rm, writeFile} from 'node:fs/promises';
import {createServer} from 'node:net';
import {join} from 'node:path';
import type {ExecutionContext} from 'ava';
import {run} from '../../src/core/command.ts';
import {askUntilAnswered, durableApp, durableGateway, listen, verified} from '../helpers/durable-app.ts';
import {freePort, testGateway} from '../helpers/gateway.ts';
import {ask, lineClient} from '../helpers/line-client.ts';
import {rootTest} from '../helpers/root-test.ts';
import {rootfsWith} from '../helpers/rootfs.ts';
import {runProgram} from '../helpers/run-program.ts';
import {until} from '../helpers/until.ts';

const exitStatus = {badConfiguration: 1, cannotStart: 2} as const;

/** A configuration with a state directory of its own, readable for everybody. */
async function configuration(t: ExecutionContext, text: string): Promise<string> {
  const directory = await mkdtemp('/var/tmp/picogate-test-');
  t.teardown(async () => {
    await runProgram(['cleanup', '-f', file]);
    await rm(directory, {recursive: true, force: true});
  });
  await chmod(directory, 0o755);
  const file = join(directory, 'picogate.cfg');
  await writeFile(file, `global\n    state-dir ${join(directory, 'state')}\n${text}`);
  return file;
}

const oneApp = (rootfs: string): string => `app a
    rootfs ${rootfs}
    exec /bin/sh
    expose tcp 80
`;

rootTest('check and run name the place of an unknown keyword, and check that of a rootfs that is not there', async (t) => {
  const misspelt = await configuration(t, oneApp('/').replace('exec', 'exce'));
  for (const command of ['check', 'run']) {
    const ended = await runProgram([command, '-f', misspelt]);
    t.is(ended.exitCode, exitStatus.badConfiguration);
    t.regex(ended.stderr, /picogate\.cfg:5:5\] : unknown keyword 'exce' in 'app' section; did you mean 'exec'/);
  }
  const missing = await configuration(t, oneApp('/proc/nonexistent'));
  const ended = await runProgram(['check', '-f', missing]);
  t.is(ended.exitCode, exitStatus.badConfiguration);
  t.regex(ended.stderr, /rootfs '\/proc\/nonexistent' does not exist/);
});

rootTest('run without CRIU, without root, or with a Redis that cannot be reached ends with status 2 and says so', async (t) => {
  const noCriu = await runProgram(['run', '-f', await configuration(t, `    criu /nonexistent/criu\n${oneApp('/')}`)]);
  t.is(noCriu.exitCode, exitStatus.cannotStart);
  t.regex(noCriu.stderr, /Cannot use CRIU "\/nonexistent\/criu".*no such program/);

  const prefix = ['setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups'];
  const noRoot = await runProgram(['run', '-f', await configuration(t, oneApp('/'))], {prefix});
  t.is(noRoot.exitCode, exitStatus.cannotStart);
  t.regex(noRoot.stderr, /root is needed/);

  const noRedis = await runProgram(['run', '-f', await configuration(t, `    redis redis://127.0.0.1:${await freePort()}\n${oneApp('/')}`)]);
  t.is(noRedis.exitCode, exitStatus.cannotStart);
  t.regex(noRedis.stderr, /Cannot connect to Redis "redis:\/\/127\.0\.0\.1:.*ECONNREFUSED/);
});

rootTest('a port in use: status 2, with frontend and address', async (t) => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const file = await configuration(t, `${oneApp('/')}listen busy\n    bind 127.0.0.1:${port}\n    server s app:a:80\n`);
  const ended = await runProgram(['run', '-f', file]);
  t.is(ended.exitCode, exitStatus.cannotStart);
  t.true(ended.stderr.includes('busy') && ended.stderr.includes(`127.0.0.1:${port}`), ended.stderr);
});

rootTest('a command says at once that the gateway does not run', async (t) => {
  const file = await configuration(t, oneApp('/'));
  for (const args of [['apps'], ['show', 'a'], ['wake', 'a'], ['events']]) {
    const ended = await runProgram([...args, '-f', file]);
    t.is(ended.exitCode, 69);
    t.regex(ended.stderr, /Cannot reach the gateway of state directory ".*": is it running\?/);
  }
});

rootTest('a second SIGTERM ends a gateway that stops at once, which says so; the next one goes on from there', async (t) => {
  t.timeout(60_000);
  const {gateway, port} = await durableGateway(t);
  await gateway.start();
  t.is(await ask(port, 'count'), '1');
  process.kill(gateway.pid, 'SIGTERM');
  await until(async () => (await gateway.log()).includes('"stopping"'), {what: 'the stop'});
  t.is((await gateway.stop()).exitCode, 130);
  t.regex(await gateway.log(), /^picogate: ended at once by a second SIGTERM; what is left can be removed/m);
  await gateway.start();
  t.is(await askUntilAnswered(port, 'verify'), verified);
});

rootTest('a second gateway in the same state directory is refused, and the first goes on', async (t) => {
  t.timeout(60_000);
  const {gateway, port} = await durableGateway(t);
  await gateway.start();
  const second = await runProgram(['run', '-f', gateway.configFile]);
  t.is(second.exitCode, exitStatus.cannotStart);
  t.regex(second.stderr, /Cannot use state directory ".*": another gateway is using it/);
  const cleanup = await runProgram(['cleanup', '-f', gateway.configFile]);
  t.is(cleanup.exitCode, 1);
  t.regex(cleanup.stderr, /another gateway is using it/);
  t.is(await ask(port, 'count'), '1');
  const unknown = await runProgram(['wake', 'b', '-f', gateway.configFile]);
  t.is(unknown.exitCode, 1);
  t.regex(unknown.stderr, /Cannot find app "b": the gateway has a/);
});

rootTest('an exec that does not exist or ends at once: its client is refused, the log says why, other apps go on', async (t) => {
  t.timeout(60_000);
  const [good, missing, ending] = [await freePort(), await freePort(), await freePort()];
  const rootfs = await rootfsWith('python3');
  const app = (name: string, exec: string): string => `app ${name}
    rootfs ${rootfs}
    exec ${exec}
    expose tcp 80
`;
  const sections = [
    await durableApp('good', ['hibernate-after never']),
    app('missing', '/bin/does-not-exist'),
    app('ending', '/bin/sh -c "echo no database here >&2; exit 3"'),
    listen('good', good),
    listen('missing', missing),
    listen('ending', ending),
  ];
  const gateway = await testGateway(t, sections.join(''));
  await gateway.start();
  for (const port of [missing, ending]) {
    await t.throwsAsync(async () => {
      using client = await lineClient(port);
      await client.request('count');
    });
  }
  const log = await gateway.log();
  t.regex(log, /Cannot start app \\"missing\\".*does-not-exist/);
  t.regex(log, /Cannot start app \\"ending\\".*ended with status 3.*no database here/);
  const wake = await runProgram(['wake', 'ending', '-f', gateway.configFile]);
  t.is(wake.exitCode, 1);
  t.regex(wake.stderr, /ended with status 3.*no database here/s);
  t.is((await gateway.app('ending')).state, 'failed');
  t.is(await ask(good, 'count'), '1');
});

rootTest('a rootfs that is not there: its client is refused and told why in the log, the other apps go on, and it wakes when it is back', async (t) => {
  t.timeout(60_000);
  const directory = await mkdtemp('/var/tmp/picogate-rootfs-');
  t.teardown(() => rm(directory, {recursive: true, force: true}));
  const rootfs = join(directory, 'rootfs');
  await run(['cp', '-a', await rootfsWith('python3'), rootfs], {timeoutMs: 60_000});
  const [moved, good] = [await freePort(), await freePort()];
  const options = ['hibernate-after never'];
  const sections = [await durableApp('moved', options, {rootfs}), listen('moved', moved), await durableApp('good', options), listen('good', good)];
  const gateway = await testGateway(t, sections.join(''));
  await gateway.start();
  t.is(await ask(moved, 'count'), '1');
  await gateway.stop();
  await rename(rootfs, `${rootfs}.away`);

  await gateway.start();
  t.regex(await gateway.log(), /rootfs '.*' does not exist/);
  t.is(await ask(good, 'count'), '1');
  await t.throwsAsync(ask(moved, 'count'));
  const wake = await runProgram(['wake', 'moved', '-f', gateway.configFile]);
  t.is(wake.exitCode, 1);
  t.regex(wake.stderr, /Cannot mount ".*rootfs" with \d+ layers: .*ENOENT/);
  t.is((await gateway.app('moved')).state, 'hibernated');
  await rename(`${rootfs}.away`, rootfs);
  t.is(await ask(moved, 'agree'), '1 1');
});
