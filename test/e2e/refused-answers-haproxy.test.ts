/** Rules about answers of mode http, those of a server that switches to another protocol too: what clients get and what is logged, by Debian's HAProxy and by our program. */
import {existsSync} from 'node:fs';
import {connect, createServer, type Socket} from 'node:net';
import test from 'ava';
import {startPair, type Twin} from '../helpers/program-pair.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';
import {until} from '../helpers/until.ts';
import {serve} from './operator-servers.ts';

const pairTest = existsSync('/usr/sbin/haproxy') ? test : test.skip;

const delay = 'tcp-response inspect-delay 2s';
const listeners: Readonly<Record<string, readonly string[]>> = {
  CLOSE: ['tcp-response content close'],
  CLOSE_UNSEEN: ['tcp-response content close if { res.hdr(x) a }'],
  CLOSE_SEEN: [delay, 'tcp-response content close if { res.hdr(x) a }'],
  REJECT: ['tcp-response content reject'],
  REJECT_UNSEEN: ['tcp-response content reject if { res.hdr(x) a }'],
  REJECT_SEEN: [delay, 'tcp-response content reject if { res.hdr(x) a }'],
  DENY: ['http-response deny'],
  RETURN: ['http-response return status 404'],
  REDIRECT: ['http-response redirect location /x'],
  WAIT: ['http-response wait-for-body time 100ms'],
  CHANGE: ['http-response set-header y b', 'http-after-response set-header z c'],
};
const names = Object.keys(listeners);

const configuration = `
defaults
  mode http
  log 127.0.0.1:\${LOG} local0
  log-format "%f %ST %ts"
  timeout client 5s
  timeout server 5s
  timeout connect 5s
${names.map((name) => [`listen ${name}`, `bind 127.0.0.1:\${${name}}`, ...(listeners[name] ?? []), `server s 127.0.0.1:\${ORIGIN}`].join('\n  ')).join('\n')}
`;

const requests: Readonly<Record<string, string>> = {
  plain: 'GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n',
  slow: 'GET /slow HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n',
  upgrade: 'GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: other\r\n\r\n',
};

/** Speaks first in the other protocol, and ends it when it is spoken to. */
function answer(socket: Socket): void {
  socket.on('error', () => undefined);
  socket.on('data', (bytes: Buffer) => {
    const text = bytes.toString('latin1');
    if (/^upgrade: other/im.test(text)) socket.write('HTTP/1.1 101 Switching Protocols\r\nX: a\r\nUpgrade: other\r\nConnection: upgrade\r\n\r\nfirst ');
    else if (!text.startsWith('GET ')) socket.end('last');
    else if (!text.startsWith('GET /slow')) socket.write('HTTP/1.1 200 OK\r\nX: a\r\nContent-Length: 4\r\n\r\nbody');
    else {
      socket.write('HTTP/1.1 200 OK\r\nX: a\r\nContent-Length: 4\r\n\r\nbo');
      setTimeout(() => socket.write('dy'), 200);
    }
  });
}

/** All that came until the end, with the fields in one order. */
async function ask(port: number, request: string): Promise<string> {
  const socket = connect({port, host: '127.0.0.1'});
  let text = '';
  socket.on('error', () => undefined);
  socket.setEncoding('latin1').on('data', (part: string) => {
    text += part;
    if (text.endsWith('first ')) setTimeout(() => socket.write('spoken'), 50);
    else if (request.includes('Upgrade') && text.includes('\r\n\r\n') && !text.includes(' 101 ')) socket.end();
  });
  socket.write(request);
  await until(() => socket.closed, {what: 'the end'});
  const [head = '', ...rest] = text.split('\r\n\r\n');
  const fields = head.split('\r\n').filter((line) => !/^connection: (?:close|keep-alive)/i.test(line));
  return `${fields
    .map((line) => line.toLowerCase())
    .sort()
    .join(', ')}; ${rest.join()}`;
}

async function course(twin: Twin, request: string): Promise<readonly string[]> {
  const heard = await Promise.all(names.map(async (name) => ask(twin.port(name), request)));
  const lineOf = (name: string): string | undefined => twin.lines.map((line) => line.replace(/^.*?\]: /, '')).find((line) => line.startsWith(`${name} `));
  await until(() => names.every((name) => lineOf(name) !== undefined), {what: `${twin.name} to log all requests`});
  // HAProxy logs the status of an answer that it has looked at before it was rejected.
  return names.map((name, at) => `${name}: ${heard[at]}; ${lineOf(name)?.replace(/^(REJECT_SEEN) \S+/, '$1')}`);
}

for (const [name, request] of Object.entries(requests)) {
  pairTest(`rules about an answer to a request: ${name}`, async (t) => {
    t.timeout(60_000);
    await using scope = new AsyncDisposableStack();
    const directory = scope.use(await temporaryDirectory());
    const values = {ORIGIN: await serve(scope, createServer(), answer)};
    const pair = scope.use(await startPair({configuration, ports: names, values, directory: directory.path}));
    const [theirs, ours] = await Promise.all([course(pair.haproxy, request), course(pair.picogate, request)]);
    t.deepEqual(ours, theirs);
    t.is(ours.filter((line) => line.includes(' PD')).length, 2);
    t.is(ours.filter((line) => / (?:SH|PH|LH)$/.test(line)).length, 4);
  });
}
