/** The units, under a real systemd: what `picogate install` sets up is started, watched, restarted and removed by it. */
import {setTimeout as sleep} from 'node:timers/promises';
import {CommandError} from '../../src/core/command.ts';
import {echo, testServer} from '../edge/edge-fixture.ts';
import {defaults, echoOnce} from '../helpers/drop-in-program.ts';
import {freePort} from '../helpers/gateway.ts';
import {rootTest} from '../helpers/root-test.ts';
import {bootSystemd, type Systemd} from '../helpers/systemd.ts';
import {until} from '../helpers/until.ts';

const units = ['picogate.service', 'picogate-supervisor.service', 'picogate-edge.service', 'picogate-edge.socket', 'picogate.target'] as const;
/** Tenths of what systemd-analyze says: the edge has no right but to low ports; containers and CRIU need nearly all. */
const exposures = {'picogate-edge.service': '20', 'picogate-supervisor.service': '90', 'picogate.service': '90'} as const;
const program = '/usr/local/bin/picogate';

async function fails(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => 'it did not fail',
    (error: unknown) => (error instanceof CommandError ? error.stderr : String(error)),
  );
}

async function expectSoundUnits(systemd: Systemd): Promise<void> {
  await systemd.run('systemd-analyze', 'verify', '--man=no', ...units.map((unit) => `/usr/local/lib/systemd/system/${unit}`));
  for (const [unit, threshold] of Object.entries(exposures)) {
    await systemd.run('systemd-analyze', 'security', '--offline=yes', `--threshold=${threshold}`, `/usr/local/lib/systemd/system/${unit}`);
  }
}

rootTest('install sets up units that systemd starts, watches and gives sockets to; uninstall leaves what is not ours', async (t) => {
  t.timeout(90_000);
  await using server = await testServer(echo);
  const [port, given] = [await freePort(), await freePort()];
  const systemd = await bootSystemd(t);
  const first = await systemd.run('/run/clone/bin/picogate', 'install');
  t.regex(first, /created: \/etc\/picogate\/picogate\.cfg/);
  t.notRegex(await systemd.run(program, 'install'), /created|updated/);
  t.is((await systemd.run('stat', '-c', '%A %U:%G', '/etc/picogate/picogate.cfg')).trim(), '-rw-r----- root:picogate');
  await systemd.run(program, 'check', '-q');
  await expectSoundUnits(systemd);

  const configuration = (to: number): string => `${defaults}listen l
  bind 127.0.0.1:${port}
  bind 127.0.0.1:${given}
  server s 127.0.0.1:${to}
`;
  await systemd.write('/etc/picogate/picogate.cfg', configuration(server.port));
  await systemd.write('/etc/systemd/system/picogate-edge.service.d/short.conf', '[Service]\nWatchdogSec=2\n');
  await systemd.write('/etc/systemd/system/picogate-edge.socket.d/port.conf', `[Socket]\nListenStream=\nListenStream=127.0.0.1:${given}\n`);
  await systemd.run('systemctl', 'daemon-reload');

  // The first client starts it.
  await systemd.run('systemctl', 'start', 'picogate-edge.socket');
  await echoOnce({port: given});
  await echoOnce({port});
  t.is(await systemd.show('picogate-edge', 'StatusText'), 'Ready: apps 0, frontends 1.');
  const pid = await systemd.show('picogate-edge', 'MainPID');
  const status = await systemd.run('cat', `/proc/${pid}/status`);
  t.regex(status, /^CapEff:\s+0000000000000400$/m, 'ports below 1024, and no more');
  t.regex(status, /^Seccomp:\s+2$/m);
  t.notRegex(status, /^Uid:\s+0\s/m);

  // Clients wait while it is restarted, and a reload takes the socket over.
  const restarted = systemd.run('systemctl', 'restart', 'picogate-edge');
  for (let count = 0; count < 5; count++) {
    await echoOnce({port: given});
    await sleep(100);
  }
  await restarted;
  await systemd.write('/etc/picogate/picogate.cfg', 'nonsense\n');
  t.not(await fails(systemd.run('systemctl', 'reload', 'picogate-edge')), 'it did not fail');
  await systemd.write('/etc/picogate/picogate.cfg', configuration(server.port));
  await systemd.run('systemctl', 'reload', 'picogate-edge');
  await echoOnce({port: given});

  // One whose event loop stands still is replaced.
  const stuck = await systemd.show('picogate-edge', 'MainPID');
  await systemd.run('kill', '-STOP', stuck);
  await until(async () => (await systemd.show('picogate-edge', 'NRestarts')) === '1', {timeoutMs: 20_000, what: 'a restart by the watchdog'});
  await echoOnce({port: given});
  t.not(await systemd.show('picogate-edge', 'MainPID'), stuck);

  // What a gateway that is killed notes of its apps is there for the next one, and not for one that is started later.
  await systemd.run('systemctl', 'stop', 'picogate-edge.socket', 'picogate-edge');
  await systemd.run('systemctl', 'start', 'picogate');
  await systemd.run('touch', '/run/picogate/note');
  await systemd.run('kill', '-KILL', await systemd.show('picogate', 'MainPID'));
  const restarts = async (): Promise<string> => `${await systemd.show('picogate', 'NRestarts')} ${await systemd.show('picogate', 'ActiveState')}`;
  await until(async () => (await restarts()) === '1 active', {timeoutMs: 20_000, what: 'a restart after a kill'});
  await echoOnce({port});
  await systemd.run('test', '-e', '/run/picogate/note');
  await systemd.run('systemctl', 'stop', 'picogate');
  await systemd.run('test', '!', '-e', '/run/picogate/note');

  t.regex(await systemd.run(program, 'uninstall', '--purge', '--dry-run'), /would be removed: \/etc\/picogate/);
  t.regex(await systemd.run('/run/clone/bin/picogate', 'uninstall'), /removed: \/usr\/local\/bin\/picogate/);
  t.is(await systemd.show('picogate-edge', 'ActiveState'), 'inactive');
  await t.throwsAsync(echoOnce({port: given}));
  await systemd.run('test', '-e', '/etc/picogate/picogate.cfg');
  t.regex(await fails(systemd.run('/run/clone/bin/picogate', 'uninstall', '--purge')), /--yes/);
  await systemd.run('/run/clone/bin/picogate', 'uninstall', '--purge', '--yes');
  await systemd.run('test', '!', '-e', '/etc/picogate');
});
