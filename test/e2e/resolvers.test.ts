/** Servers that are found by names: another gateway is their name server, and its records change. */
import {once} from 'node:events';
import {createServer, type Server} from 'node:net';
import {join} from 'node:path';
import test, {type ExecutionContext} from 'ava';
import {askSocket} from '../admin/stats-client.ts';
import {dropInProgram} from '../helpers/drop-in-program.ts';
import {freePort} from '../helpers/gateway.ts';
import {lineClient} from '../helpers/line-client.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';
import {until} from '../helpers/until.ts';

/** Says its address to everyone. */
async function openServer(t: ExecutionContext, host: string, port: number): Promise<Server> {
  const server = createServer((socket) => socket.on('error', () => undefined).end(`${host}\n`)).listen(port, host);
  await once(server, 'listening');
  t.teardown(() => server.close());
  return server;
}

interface Found {
  readonly name: string;
  readonly status: string;
  readonly address: string;
}

async function serversOf(socket: string, backend: string): Promise<readonly Found[]> {
  const answer = await askSocket(socket, 'show stat\n');
  const [head = '', ...rows] = answer.replace(/^# /, '').trim().split('\n');
  const columns = head.split(',');
  const field = (row: string, name: string): string => row.split(',')[columns.indexOf(name)] ?? '';
  return rows
    .filter((row) => field(row, 'pxname') === backend && field(row, 'type') === '2')
    .map((row) => ({name: field(row, 'svname'), status: field(row, 'status'), address: field(row, 'addr')}));
}

/** Who answers, of so many connections. */
async function whoAnswers(port: number, connections: number): Promise<readonly string[]> {
  const answers = new Set<string>();
  for (let n = 0; n < connections; n++) {
    using client = await lineClient(port);
    answers.add(await client.nextLine());
  }
  return [...answers].sort();
}

test('servers share out the addresses of their name, follow the name server, and find the port of a service', async (t) => {
  t.timeout(60_000);
  const [dnsPort, webPort, servicePort, listenPort, serviceListenPort] = await Promise.all([freePort(), freePort(), freePort(), freePort(), freePort()]);
  for (const host of ['127.0.0.2', '127.0.0.3', '127.0.0.4']) await openServer(t, host, webPort);
  await openServer(t, '127.0.0.5', servicePort);
  const zone = (addresses: readonly string[]): string => `frontend names
  mode dns
  bind 127.0.0.1:${dnsPort}
  zone test.example
${addresses.map((address) => `  record web.test.example A ${address}\n`).join('')}  record service.test.example A 127.0.0.5
  record _game._tcp.test.example SRV 0 512 ${servicePort} service.test.example.
`;
  const names = await dropInProgram(t, zone(['127.0.0.2', '127.0.0.3']));
  await using directory = await temporaryDirectory();
  const socket = join(directory.path, 'stats.sock');
  const program = await dropInProgram(
    t,
    `global
  stats socket ${socket} mode 600
resolvers here
  nameserver a 127.0.0.1:${dnsPort}
  timeout resolve 100ms
  hold valid 100ms
listen web
  bind 127.0.0.1:${listenPort}
  server-template w 3 web.test.example:${webPort} resolvers here
listen service
  bind 127.0.0.1:${serviceListenPort}
  server-template s 2 _game._tcp.test.example resolvers here
backend first
  server a later.test.example:80 resolvers here init-addr none
  server b later.test.example:81 resolvers here init-addr last,127.0.0.9
`,
  );
  const become = (backend: string, expected: readonly Found[]): Promise<void> =>
    until(async () => JSON.stringify(await serversOf(socket, backend)) === JSON.stringify(expected));
  const up = (name: string, host: string, port = webPort): Found => ({name, status: 'no check', address: `${host}:${port}`});
  const without = (name: string, address: string): Found => ({name, status: 'MAINT (resolution)', address});
  await become('web', [up('w1', '127.0.0.2'), up('w2', '127.0.0.3'), without('w3', `web.test.example:${webPort}`)]);
  t.deepEqual(await whoAnswers(listenPort, 6), ['127.0.0.2', '127.0.0.3']);
  await become('service', [up('s1', '127.0.0.5', servicePort), without('s2', '_game._tcp.test.example:0')]);
  t.deepEqual(await whoAnswers(serviceListenPort, 4), ['127.0.0.5']);
  t.deepEqual(await serversOf(socket, 'first'), [without('a', 'later.test.example:80'), up('b', '127.0.0.9', 81)]);

  await names.configure(zone(['127.0.0.3', '127.0.0.4']));
  t.is(await names.ask('reload'), 'Success=1\n\n');
  await become('web', [up('w1', '127.0.0.4'), up('w2', '127.0.0.3'), without('w3', `web.test.example:${webPort}`)]);
  t.deepEqual(await whoAnswers(listenPort, 6), ['127.0.0.3', '127.0.0.4']);
  t.regex(await program.log(), /web\/w1 changed its IP from 127\.0\.0\.2 to 127\.0\.0\.4 by resolvers here\./);
  t.regex(await program.log(), /Server web\/w3 is going DOWN for maintenance \(No IP for server by resolvers here\)\./);

  // The name server is gone: what it said last holds.
  names.signal('SIGTERM');
  await names.exited;
  t.deepEqual(await whoAnswers(listenPort, 6), ['127.0.0.3', '127.0.0.4']);
});
