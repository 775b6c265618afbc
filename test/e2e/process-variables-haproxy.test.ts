/** Variables of the process, set in `global`, by rules and by commands: the same to Debian's HAProxy and to our program. */
import {existsSync} from 'node:fs';
import {join} from 'node:path';
import test from 'ava';
import {askSocket} from '../admin/stats-client.ts';
import {rawExchange} from '../edge/http/raw-client.ts';
import {startPair, type Twin} from '../helpers/program-pair.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';

const pairTest = existsSync('/usr/sbin/haproxy') ? test : test.skip;

const configuration = `
global
  stats socket \${DIR}/admin.sock mode 600 level admin
  stats socket \${DIR}/user.sock mode 600 level user
  set-var proc.number int(5)
  set-var proc.text str(x\\ y),upper
  set-var-fmt proc.format "%[var(proc.number),add(2)] of %[var(proc.text)] on %H"
  set-var proc.number int(6),add(1)
  set-var proc.kept str(first)
  set-var proc.kept,ifempty str(second)
  set-var proc.kept,ifnotset str(third)
  set-var proc.address ipv4(192.0.2.1)
  set-var proc.address6 ipv6(2001:db8::1)
  set-var proc.flag bool(true)
  set-var proc.bytes bin(41fe42)
  set-var proc.nul bin(0041)
  set-var proc.method meth(PUT)
  set-var proc.missing var(proc.nothing)
defaults
  mode http
  timeout client 5s
  timeout server 5s
  timeout connect 5s
frontend web
  bind 127.0.0.1:\${WEB}
  http-request set-var(proc.number) var(proc.number),add(1) if { path /count }
  http-request deny deny_status 403 if { var(proc.closed) -m bool }
  http-request return status 200 content-type text/plain lf-string "%[var(proc.number)] %[var(proc.text)] %[var(proc.format)] %[var(proc.kept)] %[var(proc.missing)] %[var(proc.other)]"
`;

const steps: readonly string[] = [
  '/',
  '/count',
  '/count',
  ...['number', 'text', 'format', 'kept', 'address', 'address6', 'flag', 'bytes', 'nul', 'method', 'missing'].map((name) => `get var proc.${name}`),
  'get var',
  'get var txn.number',
  'get var nothing',
  'set var proc.number int(30)',
  'set var proc.other expr str(a),upper',
  '/',
  'set var proc.other fmt <%[var(proc.number)]>\\ and\\ more',
  '/',
  'set var proc.number var(proc.nothing)',
  'set var proc.missing fmt %[var(proc.nothing)]',
  'get var proc.missing',
  'get var proc.number',
  'set var proc.closed bool(1)',
  '/',
  'set var',
  'set var proc.a',
  'set var proc.a what int(1)',
];

async function course(twin: Twin): Promise<readonly string[]> {
  const seen: string[] = [];
  for (const step of steps) {
    if (!step.startsWith('/')) {
      // Answers to both commands in one, of which the first says nothing.
      seen.push(`${step}: ${(await askSocket(join(twin.directory, 'admin.sock'), `experimental-mode on;${step}\n`)).trim()}`);
      continue;
    }
    const text = await rawExchange(twin.port('WEB'), `GET ${step} HTTP/1.1\r\nHost: variables.test\r\nConnection: close\r\n\r\n`);
    seen.push(`${step}: ${text.slice(9, 12)} ${text.slice(text.indexOf('\r\n\r\n') + 4)}`);
  }
  // To the last character.
  seen.push(await askSocket(join(twin.directory, 'admin.sock'), 'get var proc.number\n'));
  seen.push(await askSocket(join(twin.directory, 'user.sock'), 'get var proc.number\n'));
  return seen;
}

pairTest('variables of the process have the values of global, and those that rules and commands give them', async (t) => {
  await using directory = await temporaryDirectory();
  await using pair = await startPair({configuration, ports: ['WEB'], values: {}, directory: directory.path});
  const expected = await course(pair.haproxy);
  t.is(expected[0], `/: 200 7 X Y 7 of X Y on ${expected[0]?.split(' on ')[1]?.split(' ')[0]} first  `);
  t.deepEqual(await course(pair.picogate), expected);
});

pairTest('set var refuses what it cannot evaluate, and says why', async (t) => {
  await using directory = await temporaryDirectory();
  await using pair = await startPair({configuration, ports: ['WEB'], values: {}, directory: directory.path});
  const ask = (command: string): Promise<string> => askSocket(join(pair.picogate.directory, 'admin.sock'), `${command}\n`);
  t.regex(await ask('set var txn.a int(1)'), /only variables of the process, such as 'proc\.name'/);
  t.regex(await ask('set var proc.a src'), /'src' is about a session, of which there is none here/);
  t.regex(await ask('set var proc.a fmt %[path]'), /'path' is about a session/);
  t.regex(await ask('set var proc.a hdr('), /missing|unexpected|hdr/);
  t.regex(await ask('set var proc.a nofetch'), /unknown fetch method 'nofetch'/);
  t.is(await ask('get var proc.a'), 'Variable not found.\n\n');
});
