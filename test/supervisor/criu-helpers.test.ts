/** Processes that CRIU makes for itself, when it is killed while they are there. */
import {readFileSync} from 'node:fs';
import {pino} from 'pino';
import {criuCommand} from '../../src/core/tools.ts';
import {openCriu} from '../../src/supervisor/criu.ts';
import {killed, processesWith} from '../helpers/gateway-processes.ts';
import {lineClient} from '../helpers/line-client.ts';
import {rootTest} from '../helpers/root-test.ts';
import {until} from '../helpers/until.ts';
import {containerLab, lineServer} from './container-lab.ts';

rootTest('a CRIU that is killed when it has a process that looks at the kernel is not waited for', async (t) => {
  await using lab = await containerLab();
  const container = await lab.container({exec: ['/usr/bin/python3', '-u', '-c', lineServer]});
  const {pid} = await container.start([], 'layer1');
  await until(async () => (await container.output()).includes('listening'));
  const dumpDir = await lab.newDirectory('images');
  const marked = '86397';
  // It forks such processes now and then, which have its socket and its standard error, and sleep until it ends them.
  const script = `case "$*" in *swrk*) sleep ${marked} & esac; exec "$@"`;
  const criu = openCriu({argv: ['sh', '-c', script, 'sh', ...criuCommand()], runtimeDir: lab.containers.directory, log: pino({enabled: false})});
  const outcome = await criu.checkpoint({
    pid,
    dumpDir,
    workDir: dumpDir,
    target: container.restoreTarget(),
    async decide() {
      t.is((await processesWith('sleep', marked)).length, 1);
      await killed(Number(/^TracerPid:\t(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]));
      return 'cancel';
    },
  });
  t.is(outcome.kind, 'cancelled');
  using client = await lineClient(7000, {host: lab.address});
  t.is(await client.request('count'), '1');
  t.deepEqual(await processesWith('sleep', marked), []);
});
