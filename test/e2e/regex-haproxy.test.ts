/** Regular expressions of operators, to Debian's HAProxy and to our program: the same requests match, and none keeps the program from answering others. */
import {existsSync} from 'node:fs';
import test from 'ava';
import {rawExchange} from '../edge/http/raw-client.ts';
import {startPair, type Twin} from '../helpers/program-pair.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';

const pairTest = existsSync('/usr/sbin/haproxy') ? test : test.skip;

/** Each has a path of its own, `/0/...`; a backtracking engine would need years for the last subjects of the first three. */
const cases: readonly (readonly [test: string, subjects: readonly string[]])[] = [
  ["-m reg '^/0/(a+)+$'", ['a', 'aaaaaaaa', `${'a'.repeat(60)}!`]],
  ["-m reg -i '^/1/([a-z]+[0-9]?)+$'", ['Abc1', 'A1b2', `${'aB'.repeat(30)}!`]],
  ["-m reg '(?i)^/2/(x.*)*y.*z$'", ['XyZ', 'xxyyz', `${'x'.repeat(60)}y`]],
  ["-m reg -i '^/3/[^a-f]{2}$'", ['Gh', 'aG', 'GF', '12']],
];

const configuration = `
defaults
  mode http
  timeout client 10s
  timeout server 10s
  timeout connect 10s
frontend web
  bind 127.0.0.1:\${WEB}
${cases.map(([condition], index) => `  http-request return status 200 if { path_beg /${index}/ } { path ${condition} }`).join('\n')}
  http-request return status 404
`;

async function answers(twin: Twin): Promise<string[]> {
  const found: string[] = [];
  for (const [index, [, subjects]] of cases.entries()) {
    for (const subject of subjects) {
      const answer = await rawExchange(twin.port('WEB'), `GET /${index}/${subject} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`);
      found.push(`/${index}/${subject} ${answer.slice(9, 12)}`);
    }
  }
  return found;
}

pairTest('expressions match the same, and in no more time than there is', async (t) => {
  await using directory = await temporaryDirectory();
  await using pair = await startPair({configuration, ports: ['WEB'], values: {}, directory: directory.path});
  t.deepEqual(await answers(pair.picogate), await answers(pair.haproxy));
});
