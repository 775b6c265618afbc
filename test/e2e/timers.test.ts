/** Apps that are woken by the time, through a real gateway. What happens each minute happens in the same one. */
import {mkdir, readFile, stat, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {durableApp} from '../helpers/durable-app.ts';
import {type TestGateway, testGateway} from '../helpers/gateway.ts';
import {rootTest} from '../helpers/root-test.ts';
import {rootfsWith} from '../helpers/rootfs.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';
import {until} from '../helpers/until.ts';

const minuteMs = 60_000;
const fixtures = fileURLToPath(new URL('../fixtures', import.meta.url));
/** Everything in which a program can wait for a time; see test/fixtures/timer-server.py. */
const ways = 'timerfd timerfd-boottime timerfd-realtime nanosleep sleep select ppoll poll epoll futex interval posix'.split(' ');

/** Waits in the given ways, each for `seconds` from its start, and writes when that was over. */
async function timerApp(name: string, seconds: number, {directory, options}: {directory: string; options: readonly string[]}): Promise<string> {
  return `app ${name}
    rootfs ${await rootfsWith('python3')}
    exec /usr/bin/python3 /srv/timer-server.py /out/${name} ${seconds} ${ways.join(' ')}
    volume ${fixtures}:/srv:ro
    volume ${directory}:/out
${options.map((option) => `    ${option}\n`).join('')}`;
}

/** What the ways of a timer app wrote: milliseconds since 1970. */
async function over(directory: string, name: string): Promise<ReadonlyMap<string, number>> {
  const text = await readFile(join(directory, name), 'utf8').catch(() => '');
  return new Map(
    text
      .trim()
      .split('\n')
      .filter(Boolean)
      .map((line) => {
        const [way = '', at] = line.split(' ');
        return [way, Number(at)];
      }),
  );
}

/** Debian's cron with one job, which adds a line to `DIRECTORY/cron` each minute. */
async function cronApp(directory: string): Promise<string> {
  const etc = join(directory, 'etc');
  await mkdir(etc);
  await writeFile(join(etc, 'job'), '* * * * * root echo done >> /out/cron\n');
  // What Debian's packages would configure in their maintainer scripts.
  await writeFile(join(etc, 'pam'), ['auth', 'account', 'session'].map((kind) => `${kind} required pam_permit.so\n`).join(''));
  return `app cron
    rootfs ${await rootfsWith('cron')}
    exec /usr/sbin/cron -f
    volume ${join(etc, 'job')}:/etc/cron.d/job:ro
    volume ${join(etc, 'pam')}:/etc/pam.d/cron:ro
    volume ${join(etc, 'pam')}:/etc/pam.d/other:ro
    volume ${directory}:/out
    hibernate-after 1s
    timers on
`;
}

/** Waits until `explain` says so: the app may be awake for a moment. */
async function said(gateway: TestGateway, name: string, pattern: RegExp): Promise<void> {
  await until(async () => pattern.test(await gateway.cli('explain', name)), {timeoutMs: 30_000, intervalMs: 100, what: `${pattern.source} of ${name}`});
}

rootTest('apps are woken by their own timers, by those of a cron daemon in them, and by schedules', async (t) => {
  t.timeout(180_000);
  await using directory = await temporaryDirectory();
  const scheduled = await durableApp('scheduled', ['hibernate-after 500ms', 'wake-at * * * * *', 'wake-at @yearly']);
  const apps = [scheduled, await cronApp(directory.path), await timerApp('timers', 20, {directory: directory.path, options: ['timers on']})];
  const gateway = await testGateway(t, apps.join(''));
  await gateway.start();
  await Promise.all(['scheduled', 'cron', 'timers'].map((name) => gateway.cli('wake', name)));
  const startedMs = (await gateway.app('timers')).lastWake?.at ?? 0;
  await said(gateway, 'timers', /Its next timer is due in \d+ s \(.* of (?:process|thread) \d+\); it is woken for it\./);
  await said(gateway, 'cron', /Its next timer is due in \d+ s \(clock_nanosleep of thread 1\)/);
  await said(gateway, 'scheduled', /It is woken in \d+ s, by its schedule \(wake-at \* \* \* \* \*\)\./);
  t.regex(await gateway.cli('show', 'scheduled', '--json'), /"nextWake": ?\{/);

  // What is due is known to a gateway that begins anew, too.
  await gateway.stop();
  await gateway.start();
  const minute = Math.ceil((Date.now() + 2000) / minuteMs) * minuteMs;
  const timersEnd = async (): Promise<void> => {
    await until(async () => (await over(directory.path, 'timers')).size === ways.length, {timeoutMs: 60_000, what: 'the end of all waits'});
    const times = await over(directory.path, 'timers');
    for (const way of ways) {
      const afterMs = (times.get(way) ?? 0) - startedMs;
      t.true(afterMs > 19_900 && afterMs < 35_000, `${way}: ${afterMs} ms after the start`);
    }
    t.is((await gateway.app('timers')).lastWake?.trigger, 'timer');
  };
  const minuteBegins = async (name: string, trigger: string): Promise<void> => {
    const woken = async (): Promise<boolean> => {
      const {lastWake} = await gateway.app(name);
      return lastWake?.trigger === trigger && lastWake.at > minute - 6000;
    };
    await until(woken, {timeoutMs: 80_000, intervalMs: 200, what: `a wake of ${name}`});
  };
  const jobDone = async (): Promise<void> => {
    const done = async (): Promise<number> => (await stat(join(directory.path, 'cron')).catch(() => ({mtimeMs: 0}))).mtimeMs;
    // Cron sleeps for whole seconds, so that it looks up to one after a minute has begun.
    let dueMs = 0;
    const isDue = async (): Promise<boolean> => {
      const {nextWake} = JSON.parse(await gateway.cli('show', 'cron', '--json')) as {nextWake: {at: number} | null};
      dueMs = nextWake?.at ?? 0;
      return Math.abs(dueMs - minute) < 2000;
    };
    await until(isDue, {timeoutMs: 90_000, intervalMs: 500, what: 'the last sleep of cron before the minute'});
    await until(async () => (await done()) >= minute, {timeoutMs: 90_000, what: 'the job of cron'});
    const doneMs = await done();
    t.log(`the job was done ${Math.round(doneMs - dueMs)} ms after the timer of cron had ended, ${Math.round(doneMs - minute)} ms after its minute began`);
    t.true(doneMs - minute < 15_000, `the job was done ${doneMs - minute} ms after its minute began`);
  };
  await Promise.all([timersEnd(), minuteBegins('scheduled', 'schedule * * * * *'), minuteBegins('cron', 'timer'), jobDone()]);
  t.regex(await gateway.cli('metrics'), /^picogate_app_timed_wakes_total\{app="cron"\} [1-9]/m);
});

rootTest('an app whose next timer is too near stays awake, and says why', async (t) => {
  const app = async (name: string, setting: string): Promise<string> => `app ${name}
    rootfs ${await rootfsWith('python3')}
    exec /usr/bin/python3 -c "import time\\nwhile True: time.sleep(0.5)"
    hibernate-after 200ms
    timers ${setting}
`;
  const gateway = await testGateway(t, `${await app('ticking', 'on')}${await app('rare', 'min 1m')}${await app('deaf', 'off')}`);
  await gateway.start();
  await Promise.all(['ticking', 'rare', 'deaf'].map((name) => gateway.cli('wake', name)));
  await Promise.all([gateway.reaches('rare', 'hibernated'), gateway.reaches('deaf', 'hibernated')]);
  t.notRegex(await gateway.cli('explain', 'rare'), /timer/);
  await said(gateway, 'ticking', /clock_nanosleep of thread 1 is due in \d+ ms, too soon for a sleep/);
  t.is((await gateway.app('ticking')).lastHibernate, null);
  // An operator is obeyed all the same.
  await gateway.hibernate('ticking');
  await until(async () => (await gateway.app('ticking')).lastWake?.trigger === 'timer', {what: 'a wake by its timer'});
});
