/** How an app comes to run and ends, seen from outside: when it is ready, what its end leads to, and its clocks. */
import {readFile} from 'node:fs/promises';
import {setTimeout as sleep} from 'node:timers/promises';
import {fileURLToPath} from 'node:url';
import type {ExecutionContext} from 'ava';
import {makeTestAuthority, makeTestCertificate} from '../edge/tls/certificates.ts';
import {listen} from '../helpers/durable-app.ts';
import {freePort, type TestGateway, testGateway} from '../helpers/gateway.ts';
import {httpsSession} from '../helpers/https-session.ts';
import {rootTest} from '../helpers/root-test.ts';
import {rootfsWith} from '../helpers/rootfs.ts';
import {runProgram} from '../helpers/run-program.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';
import {until} from '../helpers/until.ts';

const fixtures = fileURLToPath(new URL('../fixtures', import.meta.url));

/** An app with test/fixtures/moody-server.py, which is healthy some time after its start. */
async function moodyApp(name: string, healthyAfter: number, ...options: readonly string[]): Promise<string> {
  return `app ${name}
    rootfs ${await rootfsWith('python3')}
    exec /usr/bin/python3 /srv/moody-server.py 80 ${healthyAfter}
    volume ${fixtures}:/srv:ro
    expose tcp 80
    hibernate-after never
${options.map((option) => `    ${option}\n`).join('')}`;
}

/** These apps, `a` behind a port. */
async function moodyGateway(t: ExecutionContext, ...apps: readonly string[]): Promise<{gateway: TestGateway; url: string}> {
  const port = await freePort();
  const gateway = await testGateway(t, `${apps.join('')}${listen('a', port)}`);
  await gateway.start();
  return {gateway, url: `http://127.0.0.1:${port}`};
}

async function get(url: string): Promise<string> {
  return (await fetch(url, {headers: {connection: 'close'}})).text();
}

rootTest('ready http: clients come when the app is healthy, after a restore too; timeout ready bounds the wait', async (t) => {
  t.timeout(60_000);
  const {gateway, url} = await moodyGateway(
    t,
    await moodyApp('a', 0.5, 'ready http /healthz'),
    await moodyApp('b', 0, 'ready http /nothing', 'timeout ready 700ms'),
  );
  const [word, asked] = (await get(url)).split(' ');
  t.is(word, 'ready');
  t.true(Number(asked) > 1);
  await gateway.hibernate('a');
  const [again, askedThen] = (await get(url)).split(' ');
  t.is(again, 'ready');
  t.is(Number(askedThen), Number(asked) + 1);

  const wake = await runProgram(['wake', 'b', '-f', gateway.configFile]);
  t.is(wake.exitCode, 1);
  t.regex(wake.stderr, /Cannot start app "b": GET \/nothing on port 80 is answered with 404 after 700 ms/);
  t.is((await gateway.app('b')).state, 'failed');
});

rootTest('restart on-failure: an app that ends with another status than 0 is started again, and how it ended is told', async (t) => {
  t.timeout(60_000);
  const {gateway, url} = await moodyGateway(t, await moodyApp('a', 0, 'restart on-failure'));
  await get(url);
  await t.throwsAsync(get(`${url}/exit/3`));
  await until(async () => (await gateway.app('a')).lastWake?.trigger === 'restart', {what: 'a restart'});
  t.regex(await gateway.cli('explain', 'a'), /is awake; .* by restart.*\nBy itself it ended with status 3 \d+ s ago\./);
  const {lastExit} = JSON.parse(await gateway.cli('show', 'a', '--json')) as {lastExit: unknown};
  t.like(lastExit, {kind: 'exited', code: 3});
  t.regex(await gateway.cli('events'), /died status=ended with status 3 code=3/);

  await t.throwsAsync(get(`${url}/exit/0`));
  await gateway.reaches('a', 'stopped');
  await sleep(500);
  t.is((await gateway.app('a')).state, 'stopped');
  await gateway.stop();
  await gateway.start();
  t.regex(await gateway.cli('explain', 'a'), /has ended by itself: .*\nBy itself it ended with status 0 \d+ s ago\./);
  t.like(JSON.parse(await gateway.cli('show', 'a', '--json')), {lastExit: {kind: 'exited', code: 0}});
});

/** The section of nginx as app `tls`, on 443 with long sessions and on 444 with ones of two seconds, behind two ports. */
async function tlsApp(certificates: string, [long, short]: readonly [number, number]): Promise<string> {
  return `app tls
    rootfs ${await rootfsWith('nginx-light')}
    exec /usr/sbin/nginx -c /srv/nginx-tls.conf
    volume ${fixtures}:/srv:ro
    volume ${certificates}:/certificates:ro
    expose tcp 443
    expose tcp 444
    hibernate-after never
listen long
    bind 127.0.0.1:${long}
    server s app:tls:443
listen short
    bind 127.0.0.1:${short}
    server s app:tls:444
`;
}

rootTest('over a sleep the monotonic clock goes on, the real-time clock is right, and TLS judges certificates and sessions by it', async (t) => {
  t.timeout(60_000);
  await using directory = await temporaryDirectory();
  const by = await makeTestAuthority(directory.path);
  await makeTestCertificate(directory.path, {file: 'server', by});
  const [long, short] = [await freePort(), await freePort()];
  const {gateway, url} = await moodyGateway(t, await moodyApp('a', 0), await tlsApp(directory.path, [long, short]));
  const clock = async (): Promise<{monotonic: number; real: number; burst: number; ticks: number; sleeps: number; here: number}> => {
    const [monotonic = Number.NaN, real = Number.NaN, burst = Number.NaN, ticks = Number.NaN, sleeps] = (await get(`${url}/clock`)).split(' ').map(Number);
    return {monotonic, real, burst, ticks, sleeps: Number(sleeps), here: Date.now() / 1000};
  };
  using open = await httpsSession(long);
  const [connection] = (await open.get()).body.split(' ');
  using old = await httpsSession(short, {maxVersion: 'TLSv1.2'});
  t.is((await old.get()).status, 200);
  const validFrom = Date.now() + 4000;
  const client = await makeTestCertificate(directory.path, {file: 'client', by, from: new Date(validFrom)});
  const cert = await readFile(client.pemFile);
  const withCertificate = async (): Promise<number> => {
    using session = await httpsSession(long, {cert, key: cert});
    return (await session.get()).status;
  };
  const early = await withCertificate();
  if (Date.now() < validFrom) t.is(early, 400, 'it is not valid yet');
  let before = await clock();
  for (const round of [1, 2]) {
    await Promise.all(['a', 'tls'].map((name) => gateway.cli('hibernate', name)));
    await sleep(3000);
    const [connectionNow, seconds] = (await open.get()).body.split(' ');
    t.is(connectionNow, connection, `round ${round}: the connection that was open`);
    t.true(Math.abs(Number(seconds) - Date.now() / 1000) < 2, `round ${round}: the time of day of nginx`);
    const after = await clock();
    const elapsed = after.here - before.here;
    t.true(Math.abs(after.real - after.here) < 2, `round ${round}: the time of day`);
    t.true(after.monotonic > before.monotonic, `round ${round}: it never goes back`);
    t.true(
      after.monotonic - before.monotonic < elapsed - 2,
      `round ${round}: what it slept is not counted: ${after.monotonic - before.monotonic} s of ${elapsed}`,
    );
    t.is(after.sleeps, 0, `round ${round}: a wake ends no sleep of a thread`);
    t.true(after.burst < 20, `round ${round}: ${after.burst} ticks at once`);
    t.true(after.ticks - before.ticks <= (after.monotonic - before.monotonic) * 10 + 2, `round ${round}: no ticks for the time that it slept`);
    await until(async () => (await clock()).ticks > after.ticks, {what: 'a tick'});
    before = after;
  }
  // More than four seconds have passed, of which the app was awake for less.
  t.is(await withCertificate(), 200);
  using resumed = await httpsSession(long, {session: open.session});
  t.true(resumed.isReused);
  using expired = await httpsSession(short, {session: old.session, maxVersion: 'TLSv1.2'});
  t.false(expired.isReused, 'a session of two seconds');
});
