/** The statistics as CSV, and parts of them, at the addresses that scripts know: Debian's HAProxy and our program. */
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
  stats enable
  stats uri /stats
  default_backend shop-one
frontend old
  bind 127.0.0.1:\${OLD}
  stats enable
  stats uri /haproxy?stats
  default_backend shop-one
backend shop-one
  server s1 127.0.0.1:1
  server s2 127.0.0.1:1
backend shop-two
  server s1 127.0.0.1:1
`;

const requests = [
  ['WEB', '/stats;csv'],
  ['WEB', '/stats?;csv'],
  ['WEB', '/stats?;csv;scope=shop-one'],
  ['WEB', '/stats;csv?scope=TWO'],
  ['WEB', '/stats?scope=shop;csv'],
  ['WEB', '/stats;csv;scope=nobody'],
  ['OLD', '/haproxy?stats;csv'],
  ['OLD', '/haproxy?stats;csv;scope=old'],
] as const;

async function course(twin: Twin): Promise<readonly string[]> {
  const seen: string[] = [];
  for (const [port, path] of requests) {
    const text = await rawExchange(twin.port(port), `GET ${path} HTTP/1.1\r\nHost: stats.test\r\nConnection: close\r\n\r\n`);
    const rows = [...text.matchAll(/^([a-z-]+,[A-Za-z0-9]+),/gm)].map(([, name = '']) => name);
    seen.push(`${path}: ${text.slice(9, 12)} ${rows.toSorted().join(' ')}`);
  }
  return seen;
}

pairTest('the statistics as CSV are where HAProxy has them, and a scope says of which proxies', async (t) => {
  await using directory = await temporaryDirectory();
  await using pair = await startPair({configuration, ports: ['WEB', 'OLD'], values: {}, directory: directory.path});
  const expected = await course(pair.haproxy);
  t.is(expected[2], '/stats?;csv;scope=shop-one: 200 shop-one,BACKEND shop-one,s1 shop-one,s2');
  t.deepEqual(await course(pair.picogate), expected);
});
