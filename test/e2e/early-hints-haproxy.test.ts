/** `early-hint` rules: what clients of Debian's HAProxy and of our program see before the answer, and of which ones. */
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
  http-request early-hint Link "</style.css>; rel=preload" if { path_beg /hint }
  http-request early-hint Link "</%[req.hdr(x-script)]>; rel=preload" if { path_beg /hint }
  http-request early-hint X-And 2
  http-request set-var(txn.between) int(1)
  http-request early-hint X-More 1 if { path /hint-more }
  http-request deny deny_status 403 if { path /hint-denied }
  http-request early-hint Never seen if { path /hint-denied }
  default_backend answers
backend answers
  http-request early-hint X-Backend "%[var(txn.between)]" if { path /hint-backend }
  server origin 127.0.0.1:\${ORIGIN}
listen origin
  bind 127.0.0.1:\${ORIGIN}
  http-request return status 200 content-type text/plain lf-string "%[path] %[req.hdr(x-script)]"
`;

async function course(twin: Twin): Promise<readonly string[]> {
  const seen: string[] = [];
  for (const [path, version] of [
    ['/', '1.1'],
    ['/hint', '1.1'],
    ['/hint-more', '1.1'],
    ['/hint-denied', '1.1'],
    ['/hint-backend', '1.1'],
    ['/hint', '1.0'],
  ]) {
    const text = await rawExchange(twin.port('WEB'), `GET ${path} HTTP/${version}\r\nHost: hints.test\r\nX-Script: app.js\r\nConnection: close\r\n\r\n`);
    // The pages of errors have fields of their own, and the answer of the origin its length.
    const [answer = '', ...hints] = text.split(/(?<=\r\n\r\n)(?=HTTP)/).toReversed();
    seen.push(`${path} ${version}: ${hints.toReversed().join('|')} then ${answer.slice(9, 12)}`);
  }
  return seen;
}

pairTest('fields that stand together are one answer 103, which goes before the request is forwarded or refused', async (t) => {
  await using directory = await temporaryDirectory();
  await using pair = await startPair({configuration, ports: ['WEB', 'ORIGIN'], values: {}, directory: directory.path});
  const expected = await course(pair.haproxy);
  t.is(
    expected[1],
    '/hint 1.1: HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\n\r\n|HTTP/1.1 103 Early Hints\r\nlink: </app.js>; rel=preload\r\nx-and: 2\r\n\r\n then 200',
  );
  t.deepEqual(await course(pair.picogate), expected);
});
