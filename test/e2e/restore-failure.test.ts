/** A checkpoint that cannot be restored: what `on-restore-failure` allows is tried, and nothing that is stored is removed for it. */
import {once} from 'node:events';
import {readdir, readFile, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import {run, startDaemon} from '../../src/core/command.ts';
import {gatewayIdentity} from '../../src/core/ids.ts';
import {namespacePath} from '../../src/nat/links.ts';
import {namespaceName} from '../../src/nat/names.ts';
import {durableGateway, verified} from '../helpers/durable-app.ts';
import type {TestGateway} from '../helpers/gateway.ts';
import {killWithApp} from '../helpers/gateway-processes.ts';
import {ask, lineClient} from '../helpers/line-client.ts';
import {serialRootTest as rootTest} from '../helpers/root-test.ts';
import {runProgram} from '../helpers/run-program.ts';
import {until} from '../helpers/until.ts';

function storeOf({stateDir}: TestGateway, ...path: readonly string[]): string {
  return join(stateDir, 'store', 'apps', 'a', ...path);
}

/** Where what a generation is made of is in the store, and which share of the object: page tables come before CRIU's images, an index after pages. */
const parts = {
  tables: {directory: 'images', from: 0.02, to: 0.03},
  images: {directory: 'images', from: 0.9, to: 0.95},
  pages: {directory: 'segments', from: 0, to: 0.8},
} as const;
type Part = keyof typeof parts;

/** Turns bytes of what a generation has added around; the same again undoes it. */
async function damage(gateway: TestGateway, generation: number, part: Part): Promise<void> {
  const {directory, from, to} = parts[part];
  const prefix = String(generation).padStart(8, '0');
  const [name = ''] = (await readdir(storeOf(gateway, directory))).filter((found) => found.startsWith(prefix));
  const path = storeOf(gateway, directory, name);
  const content = await readFile(path);
  for (let at = Math.floor(content.length * from); at < content.length * to; at += 500) content.writeUInt8(content.readUInt8(at) ^ 0xff, at);
  await writeFile(path, content);
}

/** Two generations, of which the newest is damaged: with a counter of 1, and of 2. The gateway runs, and has read neither. */
async function damagedGateway(gateway: TestGateway, port: number, part: Part): Promise<void> {
  await gateway.start();
  for (const _ of [1, 2]) {
    await ask(port, 'count');
    await gateway.hibernate('a');
  }
  await gateway.stop();
  await damage(gateway, 2, part);
  await gateway.start();
}

const manifests = async (gateway: TestGateway): Promise<string[]> => (await readdir(storeOf(gateway, 'manifests'))).sort();

rootTest('on-restore-failure previous: the generation before is restored, the newest is kept, and the next one is above it', async (t) => {
  t.timeout(90_000);
  const {gateway, port} = await durableGateway(t, 'hibernate-after never', 'on-restore-failure previous');
  await damagedGateway(gateway, port, 'images');
  t.is(await ask(port, 'agree'), '1 1', 'memory and files of the first generation');
  t.is(await ask(port, 'verify'), verified);
  t.regex(
    await gateway.cli('explain', 'a'),
    /generation 2, could not be restored .*Cannot read object "apps\/a\/images\/00000002.* generation 1 was restored/s,
  );
  t.regex(await gateway.cli('events'), /fallback to=previous newest=2 generation=1/);
  t.is((await gateway.app('a')).generation, 2);
  t.deepEqual(await manifests(gateway), ['00000001.json', '00000002.json']);

  // What ran from it has no checkpoint of its own yet: the newest is still the one that counts.
  t.is(await ask(port, 'count'), '2');
  await killWithApp(gateway, 'a');
  await gateway.start();
  t.like(await gateway.app('a'), {state: 'hibernated', generation: 2});
  t.is(await ask(port, 'agree'), '1 1');
  t.is(await ask(port, 'count'), '2');
  t.is(await ask(port, 'count'), '3');
  await gateway.hibernate('a');
  t.is((await gateway.app('a')).generation, 3);
  t.true((await manifests(gateway)).includes('00000002.json'), 'the damaged one is kept like any other');
  t.is(await ask(port, 'agree'), '3 3');
  t.is(await ask(port, 'verify'), verified);
  t.notRegex(await gateway.cli('explain', 'a'), /could not be restored/);
});

rootTest('on-restore-failure previous: memory that turns out to be damaged when the app runs counts as a failed restore', async (t) => {
  t.timeout(90_000);
  const {gateway, port} = await durableGateway(t, 'hibernate-after never', 'on-restore-failure previous');
  await damagedGateway(gateway, port, 'pages');
  // The first wake may well succeed; the instance is ended when it needs a page that is not what it was.
  await until(async () => (await ask(port, 'agree').catch(() => '')) === '1 1', {timeoutMs: 20_000, what: 'the generation before'});
  t.is(await ask(port, 'verify'), verified);
  t.regex(await gateway.cli('explain', 'a'), /generation 2, could not be restored .*Cannot read object "apps\/a\/segments\/.* generation 1 was restored/s);
  t.deepEqual(await manifests(gateway), ['00000001.json', '00000002.json']);
});

rootTest('on-restore-failure cold-start: the app starts from the files of its newest generation, which is kept', async (t) => {
  t.timeout(90_000);
  const {gateway, port} = await durableGateway(t, 'hibernate-after never', 'on-restore-failure cold-start');
  await damagedGateway(gateway, port, 'images');
  t.is(await ask(port, 'agree'), '0 2', 'no memory, and all files');
  t.regex(await gateway.cli('explain', 'a'), /generation 2, could not be restored .* it was started from its files/s);
  t.like(await gateway.app('a'), {state: 'running', generation: 2});
  t.deepEqual(await manifests(gateway), ['00000001.json', '00000002.json']);

  // As any app that has begun anew, it goes on from the files that it has written.
  t.is(await ask(port, 'count'), '1');
  await killWithApp(gateway, 'a');
  await gateway.start();
  t.is(await ask(port, 'agree'), '0 3');
  t.is(await ask(port, 'count'), '1');
  await gateway.hibernate('a');
  t.is((await gateway.app('a')).generation, 3);
  t.is(await ask(port, 'agree'), '1 4');
});

rootTest('a wake that fails again and again is refused at once for a while, but not to an operator; the checkpoint is whole all the time', async (t) => {
  t.timeout(90_000);
  const {gateway, port} = await durableGateway(t, 'hibernate-after never');
  await damagedGateway(gateway, port, 'tables');
  for (let attempt = 1; attempt <= 7; attempt += 1) await t.throwsAsync(ask(port, 'count'));
  const attempts = async (): Promise<number> => (await gateway.log()).split('"msg":"failed"').length - 1;
  t.is(await attempts(), 5, 'the last two were refused without an attempt');
  t.regex(await gateway.cli('explain', 'a'), /Its last 5 wakes failed: requests are refused at once, for .* more\. "picogate wake a" tries it now\./);
  const metrics = await gateway.cli('metrics');
  t.regex(metrics, /^picogate_app_wakes_refused\{app="a"\} 1$/m);
  t.regex(metrics, /^picogate_app_failures_total\{app="a",kind="restore"\} 5$/m);
  const tried = await runProgram(['wake', 'a', '-f', gateway.configFile]);
  t.is(tried.exitCode, 1);
  t.regex(tried.stderr, /Cannot read object "apps\/a\/images\/00000002/);
  t.is(await attempts(), 6);
  t.like(await gateway.app('a'), {state: 'hibernated', generation: 2});
  t.regex(await gateway.cli('apps'), /ERROR.*\n *a +hibernated .* ago: Cannot /);
  t.regex(await gateway.cli('apps', '--csv'), /,error\n.*Cannot read object/);

  await damage(gateway, 2, 'tables');
  await gateway.cli('wake', 'a');
  t.notRegex(await gateway.cli('apps'), /ERROR/);
  t.is(await ask(port, 'agree'), '2 2');
  t.is(await ask(port, 'verify'), verified);
});

/** Makes a connection with the addresses of one that an app has in its checkpoint: TCP_REPAIR (19) needs nobody at the other side. */
const squatter = `
import socket, sys, time
address, peer, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
s = socket.socket()
s.setsockopt(socket.IPPROTO_TCP, 19, 1)
s.bind((address, 80))
s.connect((peer, port))
print('there', flush=True)
time.sleep(60)
`;

rootTest('a connection that an attempt to restore has left in the namespace does not keep the app from being restored', async (t) => {
  t.timeout(60_000);
  const {gateway, port} = await durableGateway(t);
  await gateway.start();
  using client = await lineClient(port);
  t.is(await client.request('count'), '1');
  const {address} = JSON.parse(await gateway.cli('show', 'a', '--json')) as {address: string};
  const {stdout: ours} = await run(['ss', '-Htn', 'dst', `${address}:80`], {timeoutMs: 5000});
  const [, peer = '', peerPort = ''] = /(\S+):(\d+)\s+\S+:80\b/.exec(ours) ?? [];
  await gateway.hibernate('a');
  const namespace = namespacePath(namespaceName(gatewayIdentity(gateway.stateDir), 0));
  await using squatting = await startDaemon(['nsenter', `--net=${namespace}`, 'python3', '-c', squatter, address, peer, peerPort], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(squatting.child.stdout ?? t.fail(), 'data');
  t.is(await client.request('count'), '2');
  t.regex(await gateway.log(), /Cannot assign requested address/);
});
