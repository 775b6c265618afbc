/** What health checks ask where a backend and its defaults both say something: Debian's HAProxy and our program ask the same. */
import {once} from 'node:events';
import {existsSync} from 'node:fs';
import {type AddressInfo, createServer} from 'node:net';
import test from 'ava';
import {startPair} from '../helpers/program-pair.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';
import {until} from '../helpers/until.ts';

const pairTest = existsSync('/usr/sbin/haproxy') ? test : test.skip;

const cases = {
  nothing: {lines: [], asks: 'GET /status HTTP/1.1\nhost: www\nx-default: 1'},
  'a request': {lines: ['http-check send hdr X-Own 1'], asks: 'OPTIONS / HTTP/1.0\nx-own: 1'},
  'a request with a method': {lines: ['http-check send meth GET hdr X-Own 1'], asks: 'GET / HTTP/1.0\nx-own: 1'},
  'the option alone': {lines: ['option httpchk'], asks: 'OPTIONS / HTTP/1.0'},
  'another option': {lines: ['option httpchk HEAD /own'], asks: 'HEAD /own HTTP/1.0'},
  'another option and a request': {lines: ['option httpchk HEAD /own', 'http-check send hdr X-Own 1'], asks: 'HEAD /own HTTP/1.0\nx-own: 1'},
} as const;

/** HTTP/1.0 ends connections anyway, and the case of names means nothing. */
function normal(head: string): string {
  const [line = '', ...fields] = head.trimEnd().split('\r\n');
  return [line, ...fields.map((field) => field.replace(/^[^:]*/, (name) => name.toLowerCase())).filter((field) => field !== 'connection: close')].join('\n');
}

pairTest('a request of the backend owes nothing to the option of its defaults', async (t) => {
  await using scope = new AsyncDisposableStack();
  const directory = scope.use(await temporaryDirectory());
  const backends: string[] = [];
  const asked: {readonly name: string; readonly count: () => number; readonly heads: ReadonlySet<string>; readonly asks: string}[] = [];
  for (const [name, {lines, asks}] of Object.entries(cases)) {
    const heads = new Set<string>();
    let count = 0;
    const server = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.once('data', (data: Buffer) => {
        heads.add(normal(data.toString('latin1')));
        count++;
        socket.end('HTTP/1.0 200 OK\r\n\r\n');
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    scope.defer(() => void server.close());
    const {port} = server.address() as AddressInfo;
    backends.push(`backend b${backends.length}`, ...lines.map((line) => `  ${line}`), `  server s 127.0.0.1:${port} check inter 1s`);
    asked.push({name, count: () => count, heads, asks});
  }
  const configuration = `
defaults
  mode http
  timeout connect 5s
  timeout client 5s
  timeout server 5s
  option httpchk GET /status HTTP/1.1
  http-check send hdr Host www hdr X-Default 1
frontend f
  bind 127.0.0.1:\${FRONT}
${backends.join('\n')}
`;
  scope.use(await startPair({configuration, ports: ['FRONT'], values: {}, directory: directory.path}));
  // Each program has asked each server, whoever was quicker.
  const already = asked.map(({count}) => count());
  await until(() => asked.every(({count}, index) => count() >= (already[index] ?? 0) + 5), {what: 'checks of both programs', timeoutMs: 20_000});
  for (const {name, heads, asks} of asked) t.deepEqual([...heads], [asks], name);
});
