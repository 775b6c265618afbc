/** Cookies as values of expressions, with a name and without: Debian's HAProxy and our program. */
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
  http-request return status 200 hdr X-Any "%[req.cook()] %[req.cook_val()] %[req.cook_cnt()]" hdr X-Named "%[req.cook(a)] %[req.cook_val(a)] %[req.cook_cnt(a)]" if { path /request }
  http-response set-header X-Any "%[res.cook()] %[res.cook_cnt()]"
  http-response set-header X-Named "%[res.cook(a)] %[res.cook_cnt(a)]"
  default_backend answers
backend answers
  server origin 127.0.0.1:\${ORIGIN}
listen origin
  bind 127.0.0.1:\${ORIGIN}
  http-request return status 200 hdr Set-Cookie a=1 hdr Set-Cookie b=2 hdr Set-Cookie a=3
`;

const cookies = ['Cookie: a=1; b=2; c=33', 'Cookie: b=7; a=1; a=2', 'Cookie: a=1; c=2\r\nCookie: a=5; d=6', 'X-None: 1'];

async function course(twin: Twin): Promise<readonly string[]> {
  const seen: string[] = [];
  for (const path of ['/request', '/answer']) {
    for (const cookie of cookies) {
      const text = await rawExchange(twin.port('WEB'), `GET ${path} HTTP/1.1\r\nHost: cookies.test\r\n${cookie}\r\nConnection: close\r\n\r\n`);
      seen.push(/x-any: (.*)/.exec(text)?.[1] ?? '', /x-named: (.*)/.exec(text)?.[1] ?? '');
    }
  }
  return seen;
}

pairTest('of cookies with a name the last counts, of cookies with any name the first', async (t) => {
  await using directory = await temporaryDirectory();
  await using pair = await startPair({configuration, ports: ['WEB', 'ORIGIN'], values: {}, directory: directory.path});
  const expected = await course(pair.haproxy);
  t.deepEqual(expected.slice(2, 4), ['7 7 3', '2 2 2']);
  t.deepEqual(await course(pair.picogate), expected);
});
