/** A reload while apps run: they go on, new ones appear, gone ones are hibernated, changed settings apply at the next wake. */
import {readFile, writeFile} from 'node:fs/promises';
import {durableApp, listen} from '../helpers/durable-app.ts';
import {freePort, testGateway} from '../helpers/gateway.ts';
import {ask} from '../helpers/line-client.ts';
import {serialRootTest} from '../helpers/root-test.ts';
import {until} from '../helpers/until.ts';

serialRootTest('apps are kept, added, changed and retired by a reload', async (t) => {
  t.timeout(120_000);
  const [first, second] = [await freePort(), await freePort()];
  const gateway = await testGateway(t, `${await durableApp('one', ['hibernate-after never'])}${listen('one', first)}`);
  await gateway.start();
  const [globals = ''] = (await readFile(gateway.configFile, 'utf8')).split('app one');
  const taken = async (): Promise<number> => (await gateway.log()).split('configuration taken over').length;
  const reload = async (sections: string): Promise<void> => {
    const before = await taken();
    await writeFile(gateway.configFile, `${globals}${sections}`);
    process.kill(gateway.pid, 'SIGUSR2');
    await until(async () => (await taken()) > before, {timeoutMs: 20_000, what: 'the end of the reload'});
  };
  t.is(await ask(first, 'count'), '1');
  // It is written down a moment after its client has been answered.
  await until(async () => (await gateway.app('one')).lastWake !== null, {what: 'the record of the start'});
  const woken = (await gateway.app('one')).lastWake;
  const two = `${await durableApp('two', ['hibernate-after never'])}${listen('two', second)}`;
  await reload(`${await durableApp('one', ['hibernate-after never', 'memory 200m'])}${listen('one', first)}${two}`);
  t.is(await ask(first, 'count'), '2');
  t.deepEqual((await gateway.app('one')).lastWake, woken, 'the app that runs was left alone');
  t.is(await ask(second, 'count'), '1');

  // Its settings have changed: the next wake is of an app that was opened anew, with what it remembered.
  await gateway.hibernate('one');
  t.is(await ask(first, 'count'), '3');

  await reload(two);
  await t.throwsAsync(ask(first, 'count'), {code: 'ECONNREFUSED'});
  await gateway.hibernate('two');
  t.is(await ask(second, 'count'), '2');

  await reload(`${await durableApp('one', ['hibernate-after never'])}${listen('one', first)}${two}`);
  t.is(await ask(first, 'count'), '4', 'an app that comes back finds its checkpoint');

  // It sleeps, and nobody may ever come: its new schedule counts at once.
  await gateway.hibernate('one');
  await reload(`${await durableApp('one', ['hibernate-after never', 'wake-at @yearly'])}${listen('one', first)}${two}`);
  const scheduled = /It is woken in \d+ [hd], by its schedule \(wake-at @yearly\)/;
  await until(async () => scheduled.test(await gateway.cli('explain', 'one')), {what: 'its schedule'});
});
