/** Apps that cannot be put to sleep when their gateway ends: they stand still, and the next gateway lets them go on. */
import {rm, statfs, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import type {ExecutionContext} from 'ava';
import {gatewayIdentity} from '../../src/core/ids.ts';
import {durableApp, listen, verified} from '../helpers/durable-app.ts';
import {freePort, leftovers, type TestGateway, testGateway} from '../helpers/gateway.ts';
import {appPids, isStopped} from '../helpers/gateway-processes.ts';
import {ask} from '../helpers/line-client.ts';
import {serialRootTest as rootTest} from '../helpers/root-test.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';
import {tinyFileSystem} from '../helpers/tiny-file-system.ts';

interface FullStore {
  readonly gateway: TestGateway;
  readonly port: number;
  readonly fill: () => Promise<void>;
  readonly makeRoom: () => Promise<void>;
}

/** A gateway with app `a`, whose store can be filled. */
async function withStore(t: ExecutionContext, ...options: readonly string[]): Promise<FullStore> {
  const directory = await temporaryDirectory();
  const store = join(directory.path, 'store');
  const fileSystem = await tinyFileSystem(store, 64 << 20);
  t.teardown(() => directory[Symbol.asyncDispose]());
  t.teardown(() => fileSystem[Symbol.asyncDispose]());
  const port = await freePort();
  const gateway = await testGateway(t, `${await durableApp('a', ['hibernate-after never', ...options])}${listen('a', port)}`, {
    globals: `    store dir:${store}\n    hard-stop-after 20s`,
  });
  const ballast = join(store, 'ballast');
  return {
    gateway,
    port,
    async fill() {
      const {bavail, bsize} = await statfs(store);
      await writeFile(ballast, Buffer.alloc(bavail * bsize - 64 * 1024, 1));
    },
    makeRoom: () => rm(ballast),
  };
}

/** Of each process of the app, whether it stands still. */
async function standStill(gateway: TestGateway): Promise<boolean[]> {
  return Promise.all((await appPids(gatewayIdentity(gateway.stateDir), 'a')).map(isStopped));
}

rootTest('an app whose checkpoint does not fit on the disk at the end of the gateway goes on under the next one', async (t) => {
  t.timeout(120_000);
  const {gateway, port, fill, makeRoom} = await withStore(t);
  await gateway.start();
  t.is(await ask(port, 'count'), '1');
  await gateway.hibernate('a');
  t.is(await ask(port, 'count'), '2');
  await fill();
  await gateway.stop();
  t.regex(await gateway.log(), /the app could not be put to sleep; it stands still, and the next gateway lets it go on/);
  t.deepEqual(new Set(await standStill(gateway)), new Set([true]));

  // Nobody has made room: it is left once more, and nothing is lost of what it does in between.
  await gateway.start();
  t.is(await ask(port, 'count'), '3');
  await gateway.stop();
  await makeRoom();
  await gateway.start();
  t.is(await ask(port, 'count'), '4');
  t.is(await ask(port, 'verify'), verified);
  t.is((await gateway.app('a')).generation, 1);
  await gateway.hibernate('a');
  t.is(await ask(port, 'agree'), '4 4');
  t.is(await ask(port, 'verify'), verified);
});

rootTest('what was left is ended by cleanup, and the app goes back to its checkpoint', async (t) => {
  t.timeout(120_000);
  const {gateway, port, fill, makeRoom} = await withStore(t);
  await gateway.start();
  t.is(await ask(port, 'count'), '1');
  await gateway.hibernate('a');
  t.is(await ask(port, 'count'), '2');
  await fill();
  await gateway.stop();
  t.not((await standStill(gateway)).length, 0);
  await gateway.cli('cleanup');
  t.deepEqual(await leftovers(gateway.stateDir), []);
  await makeRoom();
  await gateway.start();
  t.is(await ask(port, 'count'), '2');
  t.is(await ask(port, 'verify'), verified);
});

rootTest('an app that is not to sleep at the end is ended', async (t) => {
  t.timeout(120_000);
  const {gateway, port, fill} = await withStore(t, 'on-stop kill');
  await gateway.start();
  t.is(await ask(port, 'count'), '1');
  await fill();
  await gateway.stop();
  t.deepEqual(await standStill(gateway), []);
  t.notRegex(await gateway.log(), /stands still/);
});
