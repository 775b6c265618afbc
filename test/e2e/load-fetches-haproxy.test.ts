/** What expressions say of how much proxies and servers have to do, by Debian's HAProxy and by our program. */
import {existsSync} from 'node:fs';
import {createServer, type ServerResponse} from 'node:http';
import test from 'ava';
import {startPair, type Twin} from '../helpers/program-pair.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';
import {until} from '../helpers/until.ts';
import {serve} from './operator-servers.ts';

const pairTest = existsSync('/usr/sbin/haproxy') ? test : test.skip;

const exact = [
  'be_conn(b)',
  'queue(b)',
  'avg_queue(b)',
  'srv_conn(b/one)',
  'srv_queue(b/one)',
  'srv_conn(b/two)',
  'nbsrv(b)',
  'queue(empty)',
  'avg_queue(empty)',
  'fe_conn(busy)',
];
const rates = ['fe_sess_rate(busy)', 'be_sess_rate(b)', 'srv_sess_rate(b/one)', 'fe_sess_rate', 'be_sess_rate(empty)'];

const configuration = `
defaults
  mode http
  timeout client 10s
  timeout server 10s
  timeout connect 5s
  timeout queue 10s
frontend asking
  bind 127.0.0.1:\${ASKING}
  http-request return status 200 content-type text/plain lf-string "${[...exact, ...rates].map((fetch) => `%[${fetch}]`).join(' ')}"
frontend busy
  bind 127.0.0.1:\${BUSY}
  http-request deny deny_status 429 if { path /limited } { queue(b) gt 2 }
  default_backend b
backend b
  balance roundrobin
  server one 127.0.0.1:\${ORIGIN} maxconn 1
  server two 127.0.0.1:\${ORIGIN} maxconn 1
backend empty
  server down 127.0.0.1:\${ORIGIN} disabled
`;

async function ask(twin: Twin): Promise<Readonly<Record<string, number>>> {
  const answer = await fetch(`http://127.0.0.1:${twin.port('ASKING')}/`, {signal: AbortSignal.timeout(5000)});
  const values = (await answer.text()).split(' ').map(Number);
  return Object.fromEntries([...exact, ...rates].map((name, index) => [name, values[index] ?? Number.NaN]));
}

function only(found: Readonly<Record<string, number>>, names: readonly string[]): Readonly<Record<string, number>> {
  return Object.fromEntries(names.map((name) => [name, found[name] ?? Number.NaN]));
}

pairTest('queues, sessions and rates are told alike', async (t) => {
  t.timeout(60_000);
  await using scope = new AsyncDisposableStack();
  const {path} = scope.use(await temporaryDirectory());
  const held: ServerResponse[] = [];
  const values = {
    ORIGIN: await serve(
      scope,
      createServer((_asked, response) => void held.push(response)),
      () => undefined,
    ),
  };
  const pair = scope.use(await startPair({configuration, ports: ['ASKING', 'BUSY'], values, directory: path}));
  const told: Readonly<Record<string, number>>[][] = [];
  for (const twin of [pair.picogate, pair.haproxy]) {
    const idle = only(await ask(twin), exact);
    const answers = Array.from({length: 5}, async () => (await fetch(`http://127.0.0.1:${twin.port('BUSY')}/`, {signal: AbortSignal.timeout(10_000)})).status);
    await until(async () => (await ask(twin))['queue(b)'] === 3, {what: `${twin.name} to let three wait`});
    const busy = await ask(twin);
    told.push([idle, only(busy, exact)]);
    // All within a second, or some of them no more: by how much, the moment decides.
    for (const name of rates.slice(0, 2)) t.true((busy[name] ?? 0) >= 1 && (busy[name] ?? 0) <= 6, `${twin.name} ${name} ${busy[name]}`);
    t.is(busy['be_sess_rate(empty)'], 0);
    t.is((await fetch(`http://127.0.0.1:${twin.port('BUSY')}/limited`, {signal: AbortSignal.timeout(5000)})).status, 429);
    const release = setInterval(() => {
      for (const response of held.splice(0)) response.end();
    }, 10);
    scope.defer(() => clearInterval(release));
    t.deepEqual(await Promise.all(answers), [200, 200, 200, 200, 200]);
    clearInterval(release);
  }
  t.deepEqual(told[0], told[1]);
  t.like(told[0]?.[1], {'queue(b)': 3, 'avg_queue(b)': 2, 'srv_conn(b/one)': 1});
});
