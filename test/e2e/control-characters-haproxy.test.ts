/** Control characters in what rules write into requests and answers: by Debian's HAProxy and by our program. */
import {once} from 'node:events';
import {existsSync} from 'node:fs';
import {connect, createServer} from 'node:net';
import test from 'ava';
import {startPair, type Twin} from '../helpers/program-pair.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';
import {serve} from './operator-servers.ts';

const pairTest = existsSync('/usr/sbin/haproxy') ? test : test.skip;

const sample = '%[url_param(x),url_dec]';

/** By the path that asks for it. */
const rules: Readonly<Record<string, string>> = {
  '/location': `http-request redirect location http://x/${sample}`,
  '/prefix': `http-request redirect prefix http://${sample}`,
  '/set': `http-request set-header X-Set a${sample}b`,
  '/only': `http-request set-header X-Set ${sample}`,
  '/add': `http-request add-header X-Add a${sample}b`,
  '/name': `http-request replace-header Host .* a${sample}b`,
  '/value': `http-request replace-value Host .* a${sample}b`,
  '/body': `http-request return status 200 content-type text/plain lf-string a${sample}b`,
  '/returned': `http-request return status 200 hdr X-Return a${sample}b`,
  '/variable': 'http-request set-header X-Set a%[var(txn.x)]b',
  '/answer': 'http-response set-header X-Answer a%[var(txn.x)]b',
  '/formatted': 'http-request set-header X-Set a%[var(txn.fmt)]b',
};

const paths = Object.keys(rules);

const configuration = `
defaults
  mode http
  timeout client 2s
  timeout server 2s
  timeout connect 5s
listen one
  bind 127.0.0.1:\${PORT}
  http-request set-var(txn.x) url_param(x),url_dec
  http-request set-var(txn.where) path
  http-request set-var-fmt(txn.fmt) "f${sample}g"
${Object.entries(rules)
  .map(([path, rule]) => `  ${rule} if { var(txn.where) -m str ${path} }`)
  .join('\n')}
  server one 127.0.0.1:\${ORIGIN}
`;

async function ask(twin: Twin, path: string, byte: string): Promise<string> {
  const client = connect({host: '127.0.0.1', port: twin.port('PORT')});
  let answer = '';
  client.on('data', (data: Buffer) => {
    answer += data.toString('latin1');
  });
  client.on('error', () => undefined);
  client.write(`GET ${path}?x=${byte} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
  await once(client, 'close');
  const told = answer.split('\r\n').filter((line) => /^(?:HTTP|location|x-|host|GET|a)/i.test(line));
  return JSON.stringify([path, byte, ...told]);
}

/** The first line, Host and what rules have set, as the body. */
const origin = (): ReturnType<typeof createServer> =>
  createServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', (data: Buffer) => {
      const [first = '', ...fields] = data.toString('latin1').split('\r\n');
      socket.end(`HTTP/1.1 200 OK\r\n\r\n${[first, ...fields.filter((field) => /^(?:x-|host)/i.test(field))].join('\r\n')}`, 'latin1');
    });
  });

const bytes = ['%01', '%08', '%09', '%0a', '%0d', '%1b', '%1f', '%20', '%22', '%23', '%5c', '%5d', '%7b', '%7f', '%80', '%c3%a9', '%ff', '%0d%0aX-More:%201'];

async function course(twin: Twin): Promise<readonly string[]> {
  const told: string[] = [];
  for (const path of paths) for (const byte of bytes) told.push(await ask(twin, path, byte));
  return told;
}

pairTest('what a client says becomes no line of its own, and its control characters can be seen', async (t) => {
  t.timeout(60_000);
  await using scope = new AsyncDisposableStack();
  const directory = scope.use(await temporaryDirectory());
  const pair = scope.use(
    await startPair({configuration, ports: ['PORT'], values: {ORIGIN: await serve(scope, origin(), () => undefined)}, directory: directory.path}),
  );
  const [theirs, ours] = await Promise.all([course(pair.haproxy), course(pair.picogate)]);
  t.deepEqual(ours, theirs);
});
