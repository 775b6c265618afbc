/** Answers without a body to what the client has asked, with a body to what the server was asked: Debian's HAProxy and our program. */
import {existsSync} from 'node:fs';
import test from 'ava';
import {rawExchange} from '../edge/http/raw-client.ts';
import {startPair, type Twin} from '../helpers/program-pair.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';

const pairTest = existsSync('/usr/sbin/haproxy') ? test : test.skip;

const configuration = `
defaults
  mode http
  timeout client 5s
  timeout server 5s
  timeout connect 5s
frontend web
  bind 127.0.0.1:\${WEB}
  http-request set-method GET if { path_beg /get }
  compression algo gzip
  compression type text/plain
  http-request set-var(txn.none) int(204) if { path_beg /none }
  http-response set-status 204 if { var(txn.none) -m found }
  default_backend answers
backend answers
  server origin 127.0.0.1:\${ORIGIN}
listen origin
  bind 127.0.0.1:\${ORIGIN}
  http-request return status 200 content-type text/html lf-string "body of %[path]" if { path_sub html }
  http-request return status 200 content-type text/plain lf-string "body of %[path]"
`;

function request(method: string, path: string, more = ''): string {
  return `${method} ${path} HTTP/1.1\r\nHost: bodies.test\r\n${more}\r\n`;
}

async function course(twin: Twin): Promise<readonly string[]> {
  const seen: string[] = [];
  for (const first of [
    request('HEAD', '/get/html'),
    request('HEAD', '/html'),
    request('HEAD', '/get/plain', 'Accept-Encoding: gzip\r\n'),
    request('GET', '/none/html'),
  ])
    seen.push(inOrder(await rawExchange(twin.port('WEB'), `${first}${request('GET', '/next/html', 'Connection: close\r\n')}`)));
  return seen;
}

/** The order of fields means nothing. */
function inOrder(text: string): string {
  return text
    .split(/(?<=\r\n\r\n)/)
    .map((part) =>
      part
        .split(/(?<=\r\n)/)
        .toSorted()
        .join(''),
    )
    .join('');
}

pairTest('a client that asks with HEAD gets no body, also when the server was asked with GET, and the next answer after it', async (t) => {
  await using directory = await temporaryDirectory();
  await using pair = await startPair({configuration, ports: ['WEB', 'ORIGIN'], values: {}, directory: directory.path});
  const expected = await course(pair.haproxy);
  t.regex(expected[0] ?? '', /^\r\nHTTP\/1\.1 200 OK\r\ncontent-length: 17\r\ncontent-type: text\/html\r\n\r\nHTTP\/1\.1 200 OK\r\n/);
  const seen = await course(pair.picogate);
  for (const [index, text] of seen.entries()) t.is(text, expected[index] ?? '', `exchange ${index}`);
});
