/** Health checks of servers that are apps. */
import {fileURLToPath} from 'node:url';
import {testServer} from '../edge/edge-fixture.ts';
import {freePort, testGateway} from '../helpers/gateway.ts';
import {ask} from '../helpers/line-client.ts';
import {rootTest} from '../helpers/root-test.ts';
import {rootfsWith} from '../helpers/rootfs.ts';
import {until} from '../helpers/until.ts';

const fixtures = fileURLToPath(new URL('../fixtures', import.meta.url));

rootTest('checks of an app neither keep it awake nor wake it, and go on after a wake', async (t) => {
  t.timeout(120_000);
  const port = await freePort();
  let otherChecks = 0;
  await using other = await testServer((socket) => {
    otherChecks++;
    socket.on('error', () => undefined).resume();
  });
  const gateway = await testGateway(
    t,
    `app a
    rootfs ${await rootfsWith('python3')}
    exec /usr/bin/python3 /srv/connection-counter.py 80 81
    volume ${fixtures}:/srv:ro
    expose tcp 80 81
    hibernate-after 2s
listen l
    bind 127.0.0.1:${port}
    server s app:a:80 check inter 300ms port 81
    server other 127.0.0.1:${other.port} check inter 300ms backup`,
  );
  await gateway.start();
  await ask(port, 'checks?');
  const {generation, lastWake} = await gateway.reaches('a', 'hibernated');
  t.is(generation, 1);

  const before = otherChecks;
  await until(() => otherChecks >= before + 6);
  const asleep = await gateway.app('a');
  t.deepEqual([asleep.state, asleep.generation, asleep.lastWake], ['hibernated', 1, lastWake]);

  const counted = Number(await ask(port, 'checks?'));
  t.true(counted >= 4, `${counted} checks in 2 s`);
  await gateway.reaches('a', 'hibernated');
  const later = Number(await ask(port, 'checks?'));
  t.true(later >= counted + 4, `${later} checks, ${counted} before`);
});
