/** `capture cookie`, `capture request header` and `capture response header`: what the log says, by Debian's HAProxy and by our program. */
import {existsSync} from 'node:fs';
import {createServer, type Socket} from 'node:net';
import test from 'ava';
import {rawExchange} from '../edge/http/raw-client.ts';
import {startPair, type Twin} from '../helpers/program-pair.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';
import {until} from '../helpers/until.ts';
import {serve} from './operator-servers.ts';

const pairTest = existsSync('/usr/sbin/haproxy') ? test : test.skip;
const format = 'log-format "%CC %CS %hr %hs %hrl %hsl %[capture.req.hdr(0)] %[capture.res.hdr(1)] %ST %tsc"';

const configuration = `
defaults
  mode http
  log 127.0.0.1:\${LOG} local0
  timeout client 5s
  timeout server 5s
  timeout connect 5s
  timeout tarpit 50ms
frontend formats
  bind 127.0.0.1:\${FORMATS}
  ${format}
  capture cookie never len 3
  capture cookie sess len 12
  capture request header X-One len 8
  capture request header X-Two len 64
  capture response header X-Answer len 5
  capture response header Set-Cookie len 64
  http-request deny if { path /denied }
  http-request set-header cookie "sess=ruled" if { path /ruled }
  http-response set-header set-cookie "session=by-rule" if { path /ruled }
  http-request tarpit if { path /tarpit }
  http-response del-header set-cookie if { path /cookies-without }
  http-request return status 200 if { path /here }
  default_backend plain
frontend exact
  bind 127.0.0.1:\${EXACT}
  option httplog
  capture cookie sess= len 200
  default_backend persistent
backend plain
  server s 127.0.0.1:\${ORIGIN}
backend persistent
  cookie sess insert indirect
  server s 127.0.0.1:\${ORIGIN} cookie one
`;
const ports = ['FORMATS', 'EXACT'];
const requests: readonly (readonly [path: string, fields: readonly string[]])[] = [
  ['/', []],
  ['/', ['Cookie: other=1; session=abcdefghij; sess=2', 'X-One: first', 'X-One: second,and more', 'X-Two: a|b {c}']],
  ['/', ['Cookie: sess ; a=b', 'Cookie:  sess = spaced ; sess=2']],
  ['/', ['Cookie: SESS=upper; xsess=no; sess=']],
  ['/denied', ['Cookie: sess=denied', 'X-One: 1']],
  ['/here', ['Cookie: sess=here', 'X-Two: 2']],
  ['/ruled', ['Cookie: sess=client']],
  ['/cookies', ['Cookie: sess=one']],
  ['/cookies', []],
  ['/cookies-without', []],
  ['/tarpit', ['Cookie: sess=waits']],
];

function answer(socket: Socket): void {
  socket.on('data', (bytes: Buffer) => {
    const isSetting = bytes.toString('latin1').startsWith('GET /cookies');
    const cookies = 'Set-Cookie: other=0; sess=no\r\nSet-Cookie: sess=value ; Path=/\r\nSet-Cookie: sess=later\r\nX-Answer: short\r\nX-Answer: longer\r\n';
    socket.write(`HTTP/1.1 200 OK\r\n${isSetting ? cookies : ''}Content-Length: 0\r\n\r\n`);
  });
}

async function course(twin: Twin): Promise<readonly string[]> {
  const seen: string[] = [];
  for (const port of ports) {
    for (const [path, fields] of requests) {
      const lines = twin.lines.length;
      await rawExchange(
        twin.port(port),
        `GET ${path} HTTP/1.1\r\nHost: captures.test\r\n${fields.map((field) => `${field}\r\n`).join('')}Connection: close\r\n\r\n`,
      );
      await until(() => twin.lines.length > lines, {what: `${twin.name} to log ${path}`});
      // Without process, addresses, times and bytes.
      const line = (twin.lines.at(-1) ?? '').replace(/^.*?\]: /, '').replace(/^\S+ \[.*?\] (\S+ \S+) \S+ (\S+) \d+ /, '$1 $2 ');
      seen.push(`${port} ${path} ${fields.join(' ')}: ${line.replace(/ \d+\/\d+\/\d+\/\d+\/\d+ \d+\/\d+ /, ' ')}`);
    }
  }
  return seen;
}

pairTest('cookies and headers are captured for the log', async (t) => {
  t.timeout(60_000);
  await using scope = new AsyncDisposableStack();
  const directory = scope.use(await temporaryDirectory());
  const values = {ORIGIN: await serve(scope, createServer(), answer)};
  const pair = scope.use(await startPair({configuration, ports, values, directory: directory.path}));
  const ours = await course(pair.picogate);
  t.deepEqual(ours, await course(pair.haproxy));
  t.true(
    ours.some((line) => line.includes('session=abcd - ')),
    ours.join('\n'),
  );
});
