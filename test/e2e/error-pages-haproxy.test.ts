/** `errorfiles` of answers: the pages of a section `http-errors` that stands behind the rules, from Debian's HAProxy and our program. */
import {existsSync} from 'node:fs';
import {writeFile} from 'node:fs/promises';
import {join} from 'node:path';
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
  errorfile 404 \${PAGES}/own-404
  http-error status 503 errorfiles pages
  http-error status 400
  http-error status 401 hdr X-More 2
  http-request deny deny_status 403 errorfiles pages if { path /deny }
  http-request deny deny_status 403 errorfiles others if { path /other }
  http-request return status 404 errorfiles pages hdr X-More 1 if { path /return }
  http-request return status 404 errorfiles others if { path /no-page }
  http-request deny deny_status 404 errorfiles others if { path /deny-no-page }
  http-request deny deny_status 400 if { path /bare }
  http-request deny deny_status 401 if { path /field }
  http-response deny deny_status 502 errorfiles pages if { status 201 }
  default_backend answers
backend answers
  server origin 127.0.0.1:\${ORIGIN}
listen origin
  bind 127.0.0.1:\${ORIGIN}
  http-request return status 201
http-errors pages
  errorfile 403 \${PAGES}/403
  errorfile 404 \${PAGES}/404
  errorfile 502 \${PAGES}/502
  errorfile 503 \${PAGES}/503
http-errors others
  errorfile 403 \${PAGES}/other-403
`;

const paths = ['/deny', '/other', '/return', '/no-page', '/deny-no-page', '/bare', '/field', '/answer'];

async function course(twin: Twin): Promise<readonly string[]> {
  const seen: string[] = [];
  for (const path of paths) {
    const text = await rawExchange(twin.port('WEB'), `GET ${path} HTTP/1.1\r\nHost: pages.test\r\nConnection: close\r\n\r\n`);
    const [head = '', body = ''] = text.split('\r\n\r\n');
    seen.push(`${path}: ${head.slice(9, 12)} ${/x-(?:page|more): .*/.exec(head)?.[0] ?? ''} ${body}`);
  }
  return seen;
}

pairTest('a rule answers with the page of a section http-errors for its status', async (t) => {
  await using directory = await temporaryDirectory();
  const pages = directory.path;
  for (const name of ['403', '404', '502', '503', 'other-403', 'own-404']) {
    const status = name.slice(-3);
    const body = `page ${name}`;
    await writeFile(join(pages, name), `HTTP/1.0 ${status} Page\r\nContent-Length: ${body.length}\r\nX-Page: ${name}\r\n\r\n${body}`);
  }
  await using pair = await startPair({configuration, ports: ['WEB', 'ORIGIN'], values: {PAGES: pages}, directory: directory.path});
  const expected = await course(pair.haproxy);
  t.is(expected[0], '/deny: 403 x-page: 403 page 403');
  t.is(expected[3], '/no-page: 404  ');
  t.deepEqual(await course(pair.picogate), expected);
});
