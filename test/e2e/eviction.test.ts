/** Apps that use more memory together than they may, from outside. */
import {durableApp, listen} from '../helpers/durable-app.ts';
import {type AppRow, freePort, testGateway} from '../helpers/gateway.ts';
import {ask} from '../helpers/line-client.ts';
import {rootTest} from '../helpers/root-test.ts';
import {until} from '../helpers/until.ts';

/** Room for three apps and not for four: each takes 32 MiB, and 4 to 13 MiB for its interpreter. */
const globals = '    memory-high 140m\n    memory-low 138m\n';

rootTest('when memory is short, the app that was used longest ago is put to sleep, and a pinned one is not', async (t) => {
  const names = ['a', 'b', 'c', 'd'];
  const ports = new Map(await Promise.all(names.map(async (name) => [name, await freePort()] as const)));
  const portOf = (name: string): number => ports.get(name) ?? 0;
  const sections = await Promise.all(
    names.map(async (name) => `${await durableApp(name, ['hibernate-after 1h'], {mebibytes: 32})}${listen(name, portOf(name))}`),
  );
  const gateway = await testGateway(t, sections.join(''), {globals});
  await gateway.start();
  await gateway.cli('pin', 'a');
  for (const name of ['a', 'b', 'c']) t.is(await ask(portOf(name), 'count'), '1');
  // Traffic is seen by the second.
  const isQuiet = async (): Promise<boolean> => /because of this: traffic \d{4,} ms ago/.test(await gateway.cli('explain', 'c'));
  await until(isQuiet, {timeoutMs: 20_000, what: 'an end of the traffic of c'});
  t.is(await ask(portOf('b'), 'count'), '2');
  t.is(await ask(portOf('d'), 'count'), '1');
  await gateway.reaches('c', 'hibernated');
  const rows = JSON.parse(await gateway.cli('apps', '--json')) as AppRow[];
  t.deepEqual(
    rows.map(({state}) => state),
    ['running', 'running', 'hibernated', 'running'],
  );
  t.regex(await gateway.cli('explain', 'c'), /was put to sleep .* ago to free memory\./);
  t.regex(await gateway.cli('events'), /evicted.*memory-high/);
  const metrics = await gateway.cli('metrics');
  t.regex(metrics, /^picogate_app_evictions_total\{app="c"\} 1$/m);
  t.regex(metrics, /^picogate_memory_high_bytes \d+$/m);
  // It lost nothing.
  t.is(await ask(portOf('c'), 'agree'), '1 1');
});
