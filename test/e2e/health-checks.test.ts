/** Health checks from outside, with the configuration of config/health-checks.cfg. */
import {readFile} from 'node:fs/promises';
import {request} from 'node:http';
import {connect} from 'node:net';
import {fileURLToPath} from 'node:url';
import {freePort, testGateway} from '../helpers/gateway.ts';
import {serialRootTest} from '../helpers/root-test.ts';
import {rootfsWith} from '../helpers/rootfs.ts';
import {until} from '../helpers/until.ts';

const fixtures = fileURLToPath(new URL('../fixtures', import.meta.url));
const example = new URL('../../config/health-checks.cfg', import.meta.url);

interface Question {
  readonly port: number;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly localAddress?: string;
}

async function ask({port, path, headers = {}, localAddress = '127.0.0.1'}: Question): Promise<number> {
  return new Promise((resolve, reject) => {
    const asked = request({host: '127.0.0.1', port, path, headers, localAddress, agent: false}, (response) => {
      response.resume().on('end', () => resolve(response.statusCode ?? 0));
    });
    asked.on('error', reject).end();
  });
}

/** As balancers check: a connection that is reset as soon as it stands. */
async function knock(port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.resetAndDestroy();
      resolve(200);
    });
    socket.on('error', reject);
  });
}

interface Ports {
  readonly web: number;
  readonly metrics: number;
  readonly plain: number;
}

/** The sections of the example, for an nginx that runs here. */
async function sections({web, metrics, plain}: Ports): Promise<string> {
  const text = await readFile(example, 'utf8');
  const changes: readonly (readonly [string | RegExp, string])[] = [
    [/rootfs .*/, `rootfs ${await rootfsWith('nginx-light')}`],
    [/exec .*/, `exec /usr/sbin/nginx -c /srv/nginx.conf\n    volume ${fixtures}:/srv:ro`],
    ['hibernate-after 1m', 'hibernate-after 1s'],
    ['bind :80\n', `bind 127.0.0.1:${web}\n    use_backend broken if { hdr(host) broken.test }\n`],
    ['bind :9113', `bind 127.0.0.1:${metrics}`],
    ['bind :8080', `bind 127.0.0.1:${plain}`],
    ['192.0.2.0/28', '127.0.0.9'],
  ];
  return changes.reduce((changed, [from, to]) => changed.replace(from, to), text.slice(text.indexOf('defaults')));
}

serialRootTest('checks by path, name, address and silence neither wake an app nor keep it awake, and are answered while it sleeps', async (t) => {
  t.timeout(120_000);
  const ports: Ports = {web: await freePort(), metrics: await freePort(), plain: await freePort()};
  const {web: port} = ports;
  const gateway = await testGateway(
    t,
    `${await sections(ports)}
app broken
    rootfs ${await rootfsWith('nginx-light')}
    exec /usr/sbin/no-such-program
    expose tcp 80
backend broken
    server s app:broken:80
`,
  );
  await gateway.start();
  const rounds: {round: number; statuses: number[]; scraped: Set<number>} = {round: 0, statuses: [], scraped: new Set()};
  const checkAll = async (): Promise<void> => {
    const found = await Promise.all([
      ask({port, path: '/healthz'}),
      ask({port, path: '/.well-known/probe/1'}),
      ask({port, path: '/', headers: {'user-agent': 'ELB-HealthChecker/2.0'}}),
      ask({port, path: '/anything', localAddress: '127.0.0.9'}),
      knock(ports.plain),
    ]);
    rounds.statuses.push(...found);
    rounds.scraped.add(await ask({port: ports.metrics, path: '/metrics'}));
    rounds.round++;
  };
  const failures: unknown[] = [];
  const timer = setInterval(() => void checkAll().catch((error: unknown) => failures.push(error)), 200);
  t.teardown(() => clearInterval(timer));
  const someRounds = async (): Promise<void> => {
    const {round} = rounds;
    await until(() => rounds.round >= round + 5 || failures.length > 0);
    t.deepEqual(failures, []);
    t.deepEqual(new Set(rounds.statuses), new Set([200]));
  };

  await someRounds();
  t.is((await gateway.app('blog')).state, 'stopped');

  t.is(await ask({port, path: '/'}), 200);
  const {lastWake} = await gateway.reaches('blog', 'hibernated');
  await someRounds();
  const asleep = await gateway.app('blog');
  t.deepEqual([asleep.state, asleep.generation, asleep.lastWake], ['hibernated', 1, lastWake]);
  t.deepEqual(rounds.scraped, new Set([503, 200]));
  t.regex(await gateway.cli('explain', 'blog'), /\d+ health checks were answered in its place/);
  t.regex(await gateway.cli('metrics'), /picogate_app_checks_answered_total\{app="blog"\} [1-9]/);

  t.is(await ask({port, path: '/'}), 200);
  // It is written down a little later than the answer.
  await until(async () => (await gateway.app('blog')).lastWake?.at !== lastWake?.at, {what: 'a wake by a request'});

  const ofBroken = {port, path: '/healthz', headers: {host: 'broken.test'}};
  t.is(await ask(ofBroken), 200);
  t.is(await ask({...ofBroken, path: '/'}), 503);
  await gateway.reaches('broken', 'failed');
  t.is(await ask(ofBroken), 503);
});
