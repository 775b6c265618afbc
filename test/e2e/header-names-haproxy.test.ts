/** `option http-restrict-req-hdr-names`: what the server gets and what the log says, through Debian's HAProxy and through our program. */
import {existsSync} from 'node:fs';
import {createServer, type IncomingMessage, request} from 'node:http';
import test from 'ava';
import {startPair, type Twin} from '../helpers/program-pair.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';
import {until} from '../helpers/until.ts';
import {serve} from './operator-servers.ts';

const pairTest = existsSync('/usr/sbin/haproxy') ? test : test.skip;
const option = 'option http-restrict-req-hdr-names';

const frontend = (name: string, backend: string, options: string): string => `
frontend ${name.toLowerCase()}
  bind 127.0.0.1:\${${name}}
  log 127.0.0.1:\${LOG} local0
  option httplog
  capture request header x_mine len 20
  http-request set-header x_rule %[req.hdr(x_mine)]
  http-request set-header x-seen %[req.hdr(x_mine)]
  http-request deny deny_status 401 if { path /denied }
  http-request allow if { path /allowed }
${options}
  default_backend ${backend}
`;

const configuration = `
defaults
  mode http
  timeout client 5s
  timeout server 5s
  timeout connect 5s
${frontend('BARE', 'bare', '')}
${frontend('KEEPING', 'bare', `  ${option} preserve`)}
${frontend('DELETING', 'bare', `  ${option} delete`)}
${frontend('REJECTING', 'bare', `  ${option} reject`)}
${frontend('LATER', 'deleting', '')}
${frontend('LATE', 'rejecting', '')}
backend bare
  server s 127.0.0.1:\${ORIGIN}
backend deleting
  ${option} delete
  http-request set-header x_backend 1
  server s 127.0.0.1:\${ORIGIN}
backend rejecting
  ${option} reject
  http-request redirect location /elsewhere if { path /denied }
  server s 127.0.0.1:\${ORIGIN}
defaults
  mode http
  timeout client 5s
  timeout server 5s
  timeout connect 5s
  ${option} delete
listen INHERITING
  bind 127.0.0.1:\${INHERITING}
  log 127.0.0.1:\${LOG} local0
  option httplog
  server s 127.0.0.1:\${ORIGIN}
`;
const ports = ['BARE', 'KEEPING', 'DELETING', 'REJECTING', 'LATER', 'LATE', 'INHERITING'];
const requests: readonly (readonly [path: string, headers: Readonly<Record<string, string>>])[] = [
  ['/', {X_Mine: '1', 'X-Ok': '2', 'X.Dot': '3', A9z: '4', 'X!': '5'}],
  ['/denied', {X_Mine: '1'}],
  ['/allowed', {X_Mine: '1'}],
  ['/', {'X-Ok': '1'}],
];

async function ask(twin: Twin, port: string, [path, headers]: (typeof requests)[number]): Promise<string> {
  const answer = await new Promise<IncomingMessage>((resolve, reject) => {
    const asked = request({host: '127.0.0.1', port: twin.port(port), path, headers: {host: 'names.test', ...headers}, agent: false}, resolve);
    asked.on('error', reject);
    asked.end();
  });
  return `${answer.statusCode ?? 0} ${(await answer.setEncoding('utf8').toArray()).join('')}`;
}

/** Without what differs by chance: process, times, bytes of heads. */
function shortLine(line: string): string {
  return line.replace(/^.*\]: \S+ \[.*?\] /, '').replace(/ \S+ (\S+) \d+ - - /, ' $1 ');
}

async function course(twin: Twin): Promise<readonly string[]> {
  const seen: string[] = [];
  for (const port of ports) {
    for (const one of requests) {
      const lines = twin.lines.length;
      seen.push(`${port} ${await ask(twin, port, one)}`);
      await until(() => twin.lines.length > lines, {what: `${twin.name} to log it`});
      seen.push(shortLine(twin.lines.at(-1) ?? ''));
    }
  }
  return seen;
}

pairTest('headers with other names are kept, removed or refused, after the rules of each proxy', async (t) => {
  t.timeout(60_000);
  await using scope = new AsyncDisposableStack();
  const directory = scope.use(await temporaryDirectory());
  const origin = createServer((asked, response) => response.end(Object.keys(asked.headers).sort().join(' ')));
  const values = {ORIGIN: await serve(scope, origin, () => undefined)};
  const pair = scope.use(await startPair({configuration, ports, values, directory: directory.path}));
  const ours = await course(pair.picogate);
  t.deepEqual(ours, await course(pair.haproxy));
  const found = (start: string): string => ours.find((line) => line.startsWith(start)) ?? '';
  t.regex(found('KEEPING 200'), /x\.dot x_mine x_rule$/);
  t.regex(found('DELETING 200'), /^DELETING 200 a9z [^_.!]*x-ok x-seen$/);
  t.true(
    ours.some((line) => line.includes('rejecting rejecting/<NOSRV>') && line.includes('403 PR--')),
    ours.join('\n'),
  );
});
