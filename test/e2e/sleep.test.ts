/** What keeps apps awake besides traffic, from outside. */
import {join} from 'node:path';
import type {ExecutionContext} from 'ava';
import {askSocket} from '../admin/stats-client.ts';
import {durableApp, durableGateway, durableGatewayWith, listen} from '../helpers/durable-app.ts';
import {type AppRow, freePort, type TestGateway, testGateway} from '../helpers/gateway.ts';
import {ask, lineClient} from '../helpers/line-client.ts';
import {rootTest} from '../helpers/root-test.ts';
import {rootfsWith} from '../helpers/rootfs.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';
import {until} from '../helpers/until.ts';

async function explains(t: ExecutionContext, gateway: TestGateway, name: string, pattern: RegExp): Promise<void> {
  let last = '';
  const said = async (): Promise<boolean> => {
    last = await gateway.cli('explain', name);
    return pattern.test(last);
  };
  await until(said, {timeoutMs: 20_000, what: pattern.source}).catch(() => undefined);
  t.regex(last, pattern);
}

rootTest('a pinned app does not sleep, over a restart of the gateway, until it is unpinned', async (t) => {
  await using directory = await temporaryDirectory();
  const socket = join(directory.path, 'admin.sock');
  const {gateway} = await durableGatewayWith(t, {options: ['hibernate-after 300ms'], globals: `    stats socket ${socket} mode 600 level admin`});
  await gateway.start();
  t.regex(await gateway.cli('pin', 'a', '--for', '1h'), /^a: pinned until 20\d\d-\S+Z; it is stopped, and stays awake when it is woken$/m);
  await gateway.cli('wake', 'a');
  await explains(t, gateway, 'a', /It does not sleep because of this: an operator has pinned it until 20\d\d-\S+Z; it is looked at again in/);
  await t.throwsAsync(gateway.cli('hibernate', 'a'), {message: /Cannot hibernate app \\?"a\\?": an operator has pinned it until \S+; --force/});
  t.regex(await askSocket(socket, 'hibernate app a\n'), /^Cannot hibernate app "a": an operator has pinned it until \S+; "hibernate app a force" does/);
  t.regex(await gateway.cli('apps'), /^\s*a +running \(pinned\)/m);
  await gateway.stop();
  await gateway.start();
  await explains(t, gateway, 'a', /because the gateway stopped\.\nIt is pinned until \S+: once it is woken it stays awake\./);
  await gateway.cli('wake', 'a');
  t.is(await gateway.cli('hibernate', 'a', '--force', '--json'), '"hibernated"\n');
  await gateway.cli('wake', 'a');
  t.is(await askSocket(socket, 'hibernate app a force;wake app a;pin app a\n'), '\n\n\n');
  t.regex(await askSocket(socket, 'show app a\n'), /^pinned: by an operator$/m);
  t.regex(await gateway.cli('unpin', 'a'), /^a: not pinned$/m);
  await gateway.reaches('a', 'hibernated');
  await explains(t, gateway, 'a', /was put to sleep .*, because it was idle\.$/m);
  t.regex(await gateway.cli('events'), / pinned.* unpinned/s);
});

rootTest('what awake-while and min-awake name keeps an app awake, and nothing else does', async (t) => {
  const port = await freePort();
  const app = await durableApp('client', ['hibernate-after 300ms', 'awake-while connections'], {mebibytes: 1});
  const busy = 'import time\\nwhile True:\\n t=time.process_time()\\n while time.process_time()<t+.02: pass\\n time.sleep(.05)';
  const other = (name: string, option: string): string => `app ${name}
    rootfs ${rootfs}
    exec /usr/bin/python3 -c 'exec("${busy}")'
    hibernate-after 300ms
    ${option}
`;
  const rootfs = await rootfsWith('python3');
  const apps = `${app}${other('worker', 'awake-while cpu > 1%')}${other('fresh', 'min-awake 1h')}${other('pinned', 'pin')}`;
  const gateway = await testGateway(t, `${apps}${listen('client', port)}`);
  await gateway.start();
  {
    using client = await lineClient(port);
    t.is(await client.request('count'), '1');
    await Promise.all(['worker', 'fresh', 'pinned'].map((name) => gateway.cli('wake', name)));
    await explains(t, gateway, 'client', /because of this: one connection is open \(awake-while connections\)/);
    await explains(t, gateway, 'worker', /because of this: it uses \d+\.\d % of a processor \(awake-while cpu > 1%\)/);
    await explains(t, gateway, 'fresh', /because of this: it was woken \d+ ms ago \(min-awake\)/);
    await explains(t, gateway, 'pinned', /because of this: pin\.$/m);
    await t.throwsAsync(gateway.cli('unpin', 'pinned'), {message: /it has \\?"pin\\?" in its configuration/});
    const rows = JSON.parse(await gateway.cli('apps', '--json')) as AppRow[];
    t.deepEqual(
      rows.map(({name, state}) => `${name} ${state}`),
      ['client running', 'worker running', 'fresh running', 'pinned running'],
    );
  }
  await gateway.reaches('client', 'hibernated');
});

rootTest('an app that is woken again and again right after it has fallen asleep gets more time', async (t) => {
  const {gateway, port} = await durableGateway(t, 'hibernate-after 100ms');
  await gateway.start();
  const flapped = async (): Promise<boolean> => {
    await ask(port, 'count');
    return (await gateway.cli('events')).includes('flapping');
  };
  await until(flapped, {timeoutMs: 60_000, intervalMs: 300, what: 'an app that flaps'});
  await explains(t, gateway, 'a', /woken right after it had fallen asleep, [3-9] times of late: now it is put to sleep after \d+ ms without traffic\./);
  t.regex(await gateway.cli('metrics'), /^picogate_app_flaps\{app="a"\} [3-9]$/m);
});
