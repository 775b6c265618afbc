/** Variables of health checks, through Debian's HAProxy and through our program: what servers are sent, and what checks find. */
import {existsSync} from 'node:fs';
import {createServer as createWebServer} from 'node:http';
import {createServer} from 'node:net';
import {join} from 'node:path';
import test from 'ava';
import {askSocket} from '../admin/stats-client.ts';
import {startHaproxy} from '../edge/haproxy.ts';
import {dropInProgram} from '../helpers/drop-in-program.ts';
import {freePort} from '../helpers/gateway.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';
import {until} from '../helpers/until.ts';
import {serve} from './operator-servers.ts';
import {parseStat} from './stat-table.ts';

const haproxyTest = existsSync('/usr/sbin/haproxy') ? test : test.skip;

const backends: Readonly<Record<string, string>> = {
  sends: `
  option httpchk
  http-check set-var(check.name) str(one)
  http-check set-var-fmt(check.both) "%[var(check.name)]-%[int(40),add(2)]"
  http-check set-var(sess.kept) int(7)
  http-check set-var(txn.none) str(x)
  http-check send meth POST uri-lf "/sends/%[var(check.name)]" hdr x-both "%[var(check.both)]" hdr x-kept "%[var(sess.kept)]" hdr x-none "%[var(txn.none)]" hdr x-here "%[be_name]/%[srv_name]" body-lf "body %[var(check.both)]"
  http-check expect string-lf "body %[var(check.both)]"`,
  answers: `
  option httpchk
  http-check connect
  http-check set-var(check.token) str(early)
  http-check send uri-lf "/answers/%[var(check.token)]"
  http-check expect status 200
  http-check set-var(check.token) res.hdr(x-token)
  http-check set-var(check.status) status
  http-check set-var(check.body) res.body
  http-check set-var-fmt(check.size) "%[res.body_len]-%[res.body_size]"
  http-check connect
  http-check send uri-lf "/answers/%[var(check.token)]/%[var(check.status)]/%[res.hdr(x-token)]" hdr x-body "%[var(check.body)]" hdr x-size "%[var(check.size)]"
  http-check expect ! string-lf "body %[var(check.token)]"`,
  forgets: `
  option httpchk GET /forgets
  http-check set-var(check.late) str(late)
  http-check expect string-lf "%[var(check.late)]"
  http-check unset-var(check.late)
  http-check expect string-lf "%[var(check.late)]"`,
  conditions: `
  option httpchk
  http-check set-var(check.a,ifexists) str(never)
  http-check set-var(check.b,ifnotexists) str(first)
  http-check set-var(check.b,ifnotexists) str(second)
  http-check set-var(check.n) int(5)
  http-check set-var(check.n,ifgt) int(9)
  http-check set-var(check.n,iflt) int(7)
  http-check set-var-fmt(check.b,ifnotempty) "%[var(check.a)]"
  http-check send uri-lf "/conditions/%[var(check.a)]/%[var(check.b)]/%[var(check.n)]" hdr x-empty "%[var(check.a)]"`,
  empty: `
  option httpchk
  http-check set-var(check.a) str(/empty/)
  http-check unset-var(check.a)
  http-check send meth HEAD uri-lf "%[var(check.a)]" hdr x-other other`,
  headers: `
  option httpchk
  http-check set-var(check.part) str(token)
  http-check send uri /headers
  http-check expect hdr name-lf "x-%[var(check.part)]" value-lf -m end "%[str(server)]"
  http-check expect ! fhdr name-lf -m beg "X-%[var(check.part)]" value other
  http-check expect hdr name x-token value-lf "%[var(check.part)]"`,
  nameless: `
  option httpchk GET /nameless
  http-check expect hdr name-lf "%[var(check.part)]"`,
  counts: `
  option httpchk
  http-check set-var(proc.seen) str(seen)
  http-check send uri /counts`,
  lines: `
  mode tcp
  option tcp-check
  tcp-check set-var(check.word) str(hello)
  tcp-check connect
  tcp-check send-lf "first %[var(check.word)]\\n"
  tcp-check expect string-lf "%[var(check.word)]"
  tcp-check set-var(check.four) res.payload(0,4)
  tcp-check send-binary-lf "%[var(check.four),hex]0a"
  tcp-check expect binary-lf "%[var(check.four),hex]"
  tcp-check set-var(check.length) res.len
  tcp-check connect
  tcp-check send-lf "%[var(check.four)] %[var(check.length)]\\n"
  tcp-check expect string %`,
  'only-sets': `
  mode tcp
  option tcp-check
  tcp-check set-var(proc.only) str(here)`,
  'counts-steps': `
  mode tcp
  option tcp-check
  tcp-check connect
  tcp-check set-var(check.word) str(nothing)
  tcp-check send steps\\n
  tcp-check expect string-lf "%[var(check.word)]"`,
  'no-text': `
  mode tcp
  option tcp-check
  tcp-check send text\\n
  tcp-check expect string-lf "%[var(check.word)]"`,
};

const names = Object.keys(backends);

interface Ports {
  readonly front: number;
  readonly web: number;
  readonly tcp: number;
}

const configuration = (socket: string, {front, web, tcp}: Ports): string => `global
  stats socket ${socket} mode 600 level admin
defaults
  mode http
  timeout client 5s
  timeout server 5s
  timeout connect 5s
  timeout check 1s
frontend f
  bind 127.0.0.1:${front}
  http-request return status 200 content-type text/plain lf-string "%[var(proc.seen)] %[var(proc.only)] %[var(check.name)]"
${Object.entries(backends)
  .map(([name, lines]) => `backend ${name}\n  default-server inter 500ms${lines}\n  server s1 127.0.0.1:${lines.includes('mode tcp') ? tcp : web} check`)
  .join('\n')}
`;

async function found(socket: string): Promise<Readonly<Record<string, readonly (string | undefined)[]>>> {
  const results = new Map<string, readonly (string | undefined)[]>();
  await until(
    async () => {
      const rows = parseStat(await askSocket(socket, 'show stat\n'));
      for (const name of names) {
        const row = rows.get(`${name}/s1`);
        // While a check runs there is a star, and no code.
        if (row !== undefined && /^L\d/.test(row.check_status ?? '')) results.set(name, [row.check_status, row.check_code, row.last_chk]);
      }
      return results.size === names.length;
    },
    {what: 'all checks', intervalMs: 20},
  );
  return Object.fromEntries(names.map((name) => [name, results.get(name)?.map((value) => value ?? '') ?? []]));
}

/** Adds what is asked to `lines`. */
async function openServers(scope: AsyncDisposableStack, lines: Set<string>): Promise<Omit<Ports, 'front'>> {
  const web = createWebServer({keepAlive: false}, (request, response) => {
    const {method, url, headers} = request;
    let body = '';
    request.setEncoding('latin1').on('data', (text: string) => {
      body += text;
    });
    request.on('end', () => {
      const own = Object.entries(headers).map(([name, value]) => (name.startsWith('x-') ? ` ${name}: ${String(value)}` : ''));
      lines.add([method, url, own.join(''), body].join('|'));
      response.setHeader('x-token', 'of-server').end(body === '' ? 'late' : body);
    });
  });
  const echo = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.on('data', (bytes: Buffer) => {
      const text = bytes.toString('latin1');
      lines.add(text);
      if (/steps|text|\d/.test(text)) socket.end(`${text}%`);
      else socket.write(text);
    });
  });
  return {web: Number(await serve(scope, web, () => undefined)), tcp: Number(await serve(scope, echo, () => undefined))};
}

haproxyTest('variables of checks are what HAProxy makes of them', async (t) => {
  t.timeout(60_000);
  await using scope = new AsyncDisposableStack();
  const {path} = scope.use(await temporaryDirectory());
  const lines = new Set<string>();
  const ports = await openServers(scope, lines);
  const outcome = async (socket: string, front: number): Promise<unknown> => {
    const results = await found(socket);
    const answer = await (await fetch(`http://127.0.0.1:${front}/`)).text();
    return {results, answer, lines: [...lines].sort()};
  };
  const theirFront = await freePort();
  const theirSocket = join(path, 'theirs.sock');
  const haproxy = await startHaproxy(path, configuration(theirSocket, {...ports, front: theirFront}), theirSocket);
  const theirs = await outcome(theirSocket, theirFront);
  await haproxy[Symbol.asyncDispose]();
  lines.clear();
  const ourFront = await freePort();
  const ourSocket = join(path, 'ours.sock');
  await dropInProgram(t, configuration(ourSocket, {...ports, front: ourFront}));
  t.deepEqual(await outcome(ourSocket, ourFront), theirs);
});
