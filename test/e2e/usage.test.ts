/** `picogate usage` of a real app, over a restart of the gateway. */
import {durableApp, listen} from '../helpers/durable-app.ts';
import {freePort, type TestGateway, testGateway} from '../helpers/gateway.ts';
import {ask} from '../helpers/line-client.ts';
import {rootTest} from '../helpers/root-test.ts';
import {until} from '../helpers/until.ts';

interface Row {
  readonly app: string;
  readonly activeGbSeconds: number;
  readonly storedGbSeconds: number;
  readonly wakes: number;
  readonly cost: number | null;
}

async function usageOf(gateway: TestGateway, ...options: readonly string[]): Promise<Row> {
  const report = JSON.parse(await gateway.cli('usage', '--json', ...options)) as {apps: readonly Row[]};
  const row = report.apps.find(({app}) => app === 'a');
  if (row === undefined) throw new Error('no usage of app a');
  return row;
}

rootTest('usage is metered awake and asleep, and goes on after a restart', async (t) => {
  t.timeout(90_000);
  const port = await freePort();
  const gateway = await testGateway(
    t,
    `global\n    rate-active 3600\n    rate-stored 36\n${await durableApp('a', ['hibernate-after never'])}${listen('a', port)}`,
  );
  await gateway.start();
  t.like(await usageOf(gateway), {activeGbSeconds: 0, storedGbSeconds: 0, wakes: 0, cost: 0});
  t.is(await ask(port, 'count'), '1');
  await gateway.hibernate('a');
  // Told at once when it falls asleep; what is stored is measured a moment later.
  await until(async () => (await usageOf(gateway)).storedGbSeconds > 0, {timeoutMs: 20_000, what: 'usage of what is stored'});
  const slept = await usageOf(gateway);
  t.is(slept.wakes, 1);
  t.true(slept.activeGbSeconds > 0);
  await until(async () => (await usageOf(gateway)).storedGbSeconds > slept.storedGbSeconds, {what: 'more of it'});
  t.is((await usageOf(gateway)).activeGbSeconds, slept.activeGbSeconds);

  t.is(await ask(port, 'count'), '2');
  await gateway.stop();
  await gateway.start();
  const after = await usageOf(gateway, '--since', '1h');
  t.is(after.wakes, 2);
  t.true(after.activeGbSeconds > slept.activeGbSeconds);
  t.true(Math.abs((after.cost ?? 0) - (after.activeGbSeconds + after.storedGbSeconds / 100)) < 1e-6);
  t.like(await usageOf(gateway, '--since', '2999-01-01'), {activeGbSeconds: 0, storedGbSeconds: 0, wakes: 0});
  t.regex(await gateway.cli('usage', '--csv'), /^app,active_gb_seconds,stored_gb_seconds,wakes,cost\na,0\.\d+,\d+\.\d+,2,/);
  t.regex(await gateway.cli('usage'), /NAME .* COST\n.*a .*\n.*total /);
  t.regex(await gateway.cli('metrics'), /picogate_app_active_byte_seconds_total\{app="a"\} \d+/);
  await t.throwsAsync(gateway.cli('usage', '--since', 'yesterday'), {message: /a date such as/});
});
