/** Compaction of a real app's generations: over many sleeps, while a client wakes the app, and when the pager or the gateway dies in it. */
import {readdir} from 'node:fs/promises';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import type {ExecutionContext} from 'ava';
import {appName} from '../../src/core/ids.ts';
import {openCheckpointStore} from '../../src/pager/checkpoints/checkpoint-store.ts';
import {segmentsMax} from '../../src/pager/checkpoints/compaction-plan.ts';
import {openDirectoryStore} from '../../src/store/directory-store.ts';
import {armFaultPoint} from '../helpers/fault-point.ts';
import {freePort, type TestGateway, testGateway} from '../helpers/gateway.ts';
import {ask} from '../helpers/line-client.ts';
import {serialRootTest as rootTest} from '../helpers/root-test.ts';
import {rootfsWith} from '../helpers/rootfs.ts';
import {rounds} from '../helpers/rounds.ts';
import {until} from '../helpers/until.ts';

const fixtures = fileURLToPath(new URL('../fixtures', import.meta.url));
const mib = 1 << 20;

async function memoryGateway(t: ExecutionContext): Promise<{gateway: TestGateway; port: number}> {
  const port = await freePort();
  const rootfs = await rootfsWith('python3');
  const gateway = await testGateway(
    t,
    `app mem
    rootfs ${rootfs}
    exec /usr/bin/python3 /srv/memory-server.py 80 16
    volume ${fixtures}:/srv:ro
    expose tcp 80
    hibernate-after never
listen l
    bind 127.0.0.1:${port}
    server s app:mem:80`,
  );
  return {gateway, port};
}

interface Compacted {
  readonly kind: string;
  readonly from: number;
  readonly to: number;
  readonly bytesWritten: number;
}

async function compactions(gateway: TestGateway): Promise<readonly Compacted[]> {
  const lines = (await gateway.cli('events', '--json')).split('\n').filter((line) => line.startsWith('{'));
  return lines.map((line) => JSON.parse(line) as Compacted).filter(({kind}) => kind === 'compacted');
}

rootTest(
  'a server whose memory changes over many sleeps: few segments, every byte as it was, and a client in the middle of a compaction is answered',
  async (t) => {
    t.timeout(240_000);
    const {gateway, port} = await memoryGateway(t);
    await gateway.start();
    const sleeps = segmentsMax + 3;
    for (let sleep = 1; sleep <= sleeps; sleep++) {
      t.is(await ask(port, 'count'), String(sleep));
      t.is(await ask(port, `write ${mib / 4} ${(sleep - 1) * mib}`), 'ok');
      if (sleep % 4 === 0) t.is(await ask(port, `verify`), 'ok 4096');
      await gateway.hibernate('mem');
    }
    await until(async () => (await compactions(gateway)).length > 0, {what: 'a compaction'});
    const [first] = await compactions(gateway);
    t.is(first?.to, (first?.from ?? 0) + 1);
    t.true((first?.bytesWritten ?? 0) > 0);
    t.is(await ask(port, 'count'), String(sleeps + 1));
    t.is(await ask(port, 'verify'), 'ok 4096');
    await gateway.hibernate('mem');
    // Whoever comes at any moment after a sleep is answered from the same memory.
    const interruptions = rounds(4);
    for (let round = 0; round < interruptions; round++) {
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 60));
      t.is(await ask(port, 'count'), String(sleeps + 2 + round));
      t.is(await ask(port, `write 65536 ${round * 2 * 65536}`), 'ok');
      await gateway.hibernate('mem');
    }
    t.is(await ask(port, 'verify'), 'ok 4096');
    await gateway.hibernate('mem');
    // Each of the compactions before was interrupted, perhaps; nobody comes now.
    const store = openCheckpointStore({objects: await openDirectoryStore(join(gateway.stateDir, 'store'))});
    const segments = async (): Promise<number> => (await store.latestComplete(appName('mem')))?.manifest.segments.length ?? Number.POSITIVE_INFINITY;
    await until(async () => (await segments().catch(() => Number.POSITIVE_INFINITY)) <= segmentsMax, {what: 'few segments'});
    await gateway.stop();
    await gateway.start();
    t.is(await ask(port, 'count'), String(sleeps + 2 + interruptions));
    t.is(await ask(port, 'verify'), 'ok 4096');
  },
);

async function manifests(gateway: TestGateway): Promise<number[]> {
  return (await readdir(join(gateway.stateDir, 'store/apps/mem/manifests'))).map((file) => Number.parseInt(file, 10));
}

for (const point of ['pager:compaction:before-bundle', 'pager:compaction:before-answer'] as const) {
  rootTest(`the pager killed at ${point}, then the gateway: the app wakes as it slept, and no copy that does not count stays`, async (t) => {
    t.timeout(180_000);
    const armed = await armFaultPoint(point);
    t.teardown(() => armed[Symbol.asyncDispose]());
    const {gateway, port} = await memoryGateway(t);
    await gateway.start();
    let sleeps = 0;
    while (!armed.hasKilled() && sleeps < 14) {
      sleeps += 1;
      t.is(await ask(port, `write ${mib / 4} ${sleeps * mib}`), 'ok');
      t.is(await ask(port, 'count'), String(sleeps));
      await gateway.hibernate('mem');
      // The ninth segment is one too many.
      if (sleeps > segmentsMax) await until(() => armed.hasKilled(), {what: 'the kill'});
    }
    t.true(armed.hasKilled());
    await gateway.stop('SIGKILL');
    await gateway.start();
    // Another compaction begins at once.
    await until(async () => Math.max(...(await manifests(gateway))) === (await gateway.app('mem')).generation, {what: 'the newest generation to count'});
    t.is(await ask(port, 'count'), String(sleeps + 1));
    t.is(await ask(port, 'verify'), 'ok 4096');
    await gateway.hibernate('mem');
    await until(async () => (await compactions(gateway)).length > 0, {what: 'a compaction that is not killed'});
    t.is(await ask(port, 'count'), String(sleeps + 2));
    t.is(await ask(port, 'verify'), 'ok 4096');
  });
}
