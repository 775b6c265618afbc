/** Of apps that nobody needs, the kernel knows nothing; each can be woken all the same. */
import {readdir} from 'node:fs/promises';
import {gatewayIdentity} from '../../src/core/ids.ts';
import {durableApp, listen} from '../helpers/durable-app.ts';
import {freePort, testGateway} from '../helpers/gateway.ts';
import {ask} from '../helpers/line-client.ts';
import {rootTest} from '../helpers/root-test.ts';

const count = 60;

rootTest('a namespace and control groups are made for the app that is woken, and stay while it sleeps', async (t) => {
  t.timeout(90_000);
  const [first, last] = [await freePort(), await freePort()];
  const sections = await Promise.all(Array.from({length: count}, (_, at) => durableApp(`app-${at}`, ['hibernate-after never'])));
  const gateway = await testGateway(t, `${sections.join('')}${listen('app-0', first)}${listen(`app-${count - 1}`, last)}`);
  const namespaces = async (): Promise<string[]> =>
    (await readdir('/run/netns').catch(() => [])).filter((name) => name.startsWith(`picogate-${gatewayIdentity(gateway.stateDir)}-`));
  await gateway.start();
  t.deepEqual(await namespaces(), []);
  t.is(await ask(last, 'count'), '1');
  const made = await namespaces();
  t.is(made.length, 1);
  t.regex(made[0] ?? '', new RegExp(`-${count - 1}$`));
  await gateway.hibernate(`app-${count - 1}`);
  t.is(await ask(last, 'count'), '2');
  t.deepEqual(await namespaces(), made);
  await gateway.stop();
  t.deepEqual(await namespaces(), []);

  await gateway.start();
  t.is(await ask(first, 'count'), '1');
  t.is(await ask(last, 'count'), '3');
});
