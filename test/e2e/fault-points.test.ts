/** A gateway whose pager kills itself at a named point: a generation counts as a whole or never was, and the app goes on. More points: test/pager-fault. */
import {readdir} from 'node:fs/promises';
import {durableGateway, verified} from '../helpers/durable-app.ts';
import {armFaultPoint} from '../helpers/fault-point.ts';
import type {TestGateway} from '../helpers/gateway.ts';
import {killWithApp, pagerPid} from '../helpers/gateway-processes.ts';
import {ask} from '../helpers/line-client.ts';
import {serialRootTest as rootTest} from '../helpers/root-test.ts';
import {until} from '../helpers/until.ts';

async function storedGenerations(gateway: TestGateway): Promise<number[]> {
  const files = await readdir(gateway.stateDir, {recursive: true});
  return files.flatMap((file) => /\/apps\/a\/manifests\/(\d+)\.json$/.exec(file)?.[1] ?? []).map(Number);
}

for (const point of ['pager:commit:before-manifest', 'pager:commit:before-answer'] as const) {
  rootTest(`the pager killed at ${point}: the app goes on and no second generation counts, also after the gateway and the app are killed`, async (t) => {
    t.timeout(120_000);
    const armed = await armFaultPoint(point, 2);
    t.teardown(() => armed[Symbol.asyncDispose]());
    const {gateway, port} = await durableGateway(t, 'hibernate-after never', 'prefetch off');
    await gateway.start();
    t.is(await ask(port, 'count'), '1');
    await gateway.hibernate('a');
    t.is(await ask(port, 'count'), '2');
    await t.throwsAsync(gateway.cli('hibernate', 'a'));
    t.true(armed.hasKilled());
    t.is(await ask(port, 'count'), '3');
    t.is(await ask(port, 'verify'), verified);
    t.like(await gateway.app('a'), {state: 'running', generation: 1});
    await until(async () => (await storedGenerations(gateway)).join() === '1', {what: 'what was not counted to be taken back'});
    await killWithApp(gateway, 'a');
    await gateway.start();
    t.is(await ask(port, 'agree'), '1 1');
    t.is(await ask(port, 'verify'), verified);
    t.is(await ask(port, 'count'), '2');
    await gateway.hibernate('a');
    t.is((await gateway.app('a')).generation, 2);
    t.is(await ask(port, 'agree'), '2 2');
  });
}

for (const [point, passing] of [
  ['pager:restore:process-parked', 1],
  ['pager:restore:finished', 1],
  ['pager:fault:before-copy', 20],
] as const) {
  rootTest(`the pager killed at ${point} of a wake: the client is answered, from the same generation`, async (t) => {
    t.timeout(120_000);
    const armed = await armFaultPoint(point, passing);
    t.teardown(() => armed[Symbol.asyncDispose]());
    const {gateway, port} = await durableGateway(t, 'hibernate-after never', 'prefetch off');
    await gateway.start();
    t.is(await ask(port, 'count'), '1');
    const pager = await pagerPid(gateway.stateDir);
    await gateway.hibernate('a');
    let answer = '';
    await until(
      async () => {
        answer = await ask(port, 'agree').catch(() => '');
        return answer !== '';
      },
      {timeoutMs: 30_000, what: 'an answer'},
    );
    t.is(answer, '1 1');
    t.is(await ask(port, 'verify'), verified);
    t.true(armed.hasKilled());
    t.not(await pagerPid(gateway.stateDir), pager);
    await gateway.hibernate('a');
    t.is(await ask(port, 'agree'), '1 1');
  });
}

rootTest('the gateway killed at start:recorded: the app starts from what was there before', async (t) => {
  t.timeout(120_000);
  const armed = await armFaultPoint('start:recorded', 1);
  t.teardown(() => armed[Symbol.asyncDispose]());
  const {gateway, port} = await durableGateway(t);
  await gateway.start();
  await t.throwsAsync(ask(port, 'count'));
  t.true(armed.hasKilled());
  await gateway.stop('SIGKILL');
  await gateway.start();
  t.is(await ask(port, 'count'), '1');
  await gateway.hibernate('a');
  t.is(await ask(port, 'agree'), '1 1');
});
