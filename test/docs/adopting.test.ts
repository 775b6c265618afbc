/** docs/adopting.md, from the first command to the last. */
import {cp, mkdir, readFile} from 'node:fs/promises';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {runDocument, thisMachine} from '../helpers/document.ts';
import {freePort} from '../helpers/gateway.ts';
import {rootTest} from '../helpers/root-test.ts';
import {rootfsWith} from '../helpers/rootfs.ts';
import {runProgram} from '../helpers/run-program.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';
import {until} from '../helpers/until.ts';

const binaries = fileURLToPath(new URL('../../bin', import.meta.url));

rootTest('the guide from HAProxy and a service of systemd leads to an app that sleeps', async (t) => {
  t.timeout(110_000);
  await using directory = await temporaryDirectory();
  const at = (path: string): string => join(directory.path, path);
  const config = at('picogate/picogate.cfg');
  await mkdir(at('run'));
  await cp(await rootfsWith('nginx-light'), at('web'), {recursive: true, verbatimSymlinks: true});
  await mkdir(at('web/tmp'), {recursive: true});
  t.teardown(async () => {
    for (const file of ['run/haproxy.pid', 'run/picogate.pid', 'web/tmp/nginx.pid']) {
      const pid = Number(await readFile(at(file), 'utf8').catch(() => ''));
      if (pid > 1 && (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).includes(file === 'web/tmp/nginx.pid' ? 'nginx' : directory.path))
        process.kill(pid);
    }
  });
  const count = await runDocument(t, 'docs/adopting.md', {
    replace: {
      '/srv/roots/web': at('web'),
      '/etc/haproxy/haproxy.cfg': at('haproxy.cfg'),
      '/etc/picogate/picogate.cfg': config,
      '/etc/systemd/system/web.service': at('web.service'),
      'state-dir /var/lib/picogate': `state-dir ${at('state')}`,
      '/run/': `${at('run')}/`,
      '8081': String(await freePort()),
      '8090': String(await freePort()),
    },
    machine: thisMachine({env: {...process.env, PATH: `${binaries}:${process.env['PATH'] ?? ''}`, PICOGATE_CONFIG: config}, cwd: directory.path}),
    has: ['no-systemd'],
  });
  t.is(count, 18);
  // It has been told to stop, and holds its directory until it has.
  await until(async () => (await runProgram(['cleanup', '-f', config])).exitCode === 0, {timeoutMs: 20_000, what: 'the end of the gateway'});
});
