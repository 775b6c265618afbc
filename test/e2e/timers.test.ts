/** Apps that are woken by the time, through a real gateway. What happens each minute happens in the same one. */
import {durableApp} from '../helpers/durable-app.ts';
import {testGateway} from '../helpers/gateway.ts';
import {rootTest} from '../helpers/root-test.ts';
import {until} from '../helpers/until.ts';

const minuteMs = 60_000;

rootTest('apps are woken by schedules', async (t) => {
  t.timeout(180_000);
  const scheduled = await durableApp('scheduled', ['hibernate-after 500ms', 'wake-at * * * * *', 'wake-at @yearly']);
  const gateway = await testGateway(t, scheduled);
  await gateway.start();
  await gateway.cli('wake', 'scheduled');
  await gateway.reaches('scheduled', 'hibernated');
  t.regex(await gateway.cli('explain', 'scheduled'), /It is woken in \d+ s, by its schedule \(wake-at \* \* \* \* \*\)\./);
  t.regex(await gateway.cli('show', 'scheduled', '--json'), /"nextWake": ?\{/);
  const scheduledWake = async (): Promise<number | undefined> => {
    const {lastWake} = await gateway.app('scheduled');
    return lastWake?.trigger === 'schedule * * * * *' ? lastWake.at + lastWake.ms : undefined;
  };
  await until(async () => (await scheduledWake()) !== undefined, {timeoutMs: 75_000, what: 'a wake by the schedule'});
  const intoMinuteMs = ((await scheduledWake()) ?? 0) % minuteMs;
  t.true(intoMinuteMs < 10_000 || intoMinuteMs > minuteMs - 6000, `awake ${intoMinuteMs} ms into the minute`);
});
