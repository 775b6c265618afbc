/** How long a large configuration takes to be checked: the whole program, as an operator waits for it. */
import {writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import {run} from '../../src/core/command.ts';
import {limitGoal} from '../paging/goal.ts';
import type {Samples} from '../paging/samples.ts';
import {fixed} from '../table.ts';
import {type EdgePart, inTurns} from './edge-bench.ts';
import {picogateProgram} from './programs.ts';

const lineCount = 5000;
const goalSeconds = 0.3;
const timeoutMs = 60_000;

const programs = {Picogate: picogateProgram, HAProxy: 'haproxy'} as const;
type Name = keyof typeof programs;

function caseName(name: Name): string {
  return `${lineCount} lines checked, ${name}`;
}

/** What operators have much of: servers with checks, rules with conditions, headers. */
function largeConfiguration(): string {
  const head = [
    'global',
    '  maxconn 9000',
    'defaults',
    '  mode http',
    '  timeout connect 5s',
    '  timeout client 30s',
    '  timeout server 30s',
    'frontend web',
    '  bind 127.0.0.1:8080',
  ];
  const linesPerBackend = 10;
  const count = Math.floor((lineCount - head.length) / linesPerBackend);
  const routes = Array.from({length: count}, (_, at) => [
    `  acl is_${at} hdr(host) -i app${at}.example.com`,
    `  use_backend app${at} if is_${at} { path_beg /api /app }`,
  ]);
  const backends = Array.from({length: count}, (_, at) => [
    `backend app${at}`,
    '  balance leastconn',
    '  option httpchk GET /health',
    `  http-request set-header X-App app${at}`,
    '  http-request deny if { src 192.0.2.0/24 } !{ method GET }',
    `  server a 127.0.0.1:${10_000 + at} check inter 2s maxconn 100`,
    `  server b 127.0.0.2:${10_000 + at} check inter 2s backup`,
    '',
  ]);
  const lines = [...head, ...routes.flat(), ...backends.flat()];
  while (lines.length < lineCount) lines.push('# the rest');
  return `${lines.join('\n')}\n`;
}

export const checkTimePart: EdgePart = {
  name: 'check',
  summary: `a configuration of ${lineCount} lines`,
  async run(bench) {
    const {directory, signal, record, progress} = bench;
    progress(`a configuration of ${lineCount} lines`);
    const file = join(directory, 'large.cfg');
    await writeFile(file, largeConfiguration());
    const check = async (name: Name): Promise<number> => {
      const startedMs = performance.now();
      await run([programs[name], '-c', '-f', file], {timeoutMs, signal});
      return performance.now() - startedMs;
    };
    await check('Picogate'); // From now on its code is in Node's cache.
    await inTurns(bench, ['Picogate', 'HAProxy'] as const, async (name, round) => {
      record({case: caseName(name), round, values: {checkMs: await check(name)}});
    });
  },
  report: (samples: Samples) => ({
    table: {
      title: `Configuration of ${lineCount} lines: -c`,
      head: ['median, s', 'Picogate', 'HAProxy'],
      rows: [['checked', ...(['Picogate', 'HAProxy'] as const).map((name) => fixed(samples.median(caseName(name), 'checkMs') / 1000, 2))]],
    },
    goals: [
      limitGoal(`${lineCount} lines checked`, samples.median(caseName('Picogate'), 'checkMs') / 1000, {atMost: goalSeconds}, (value) => `${fixed(value, 2)} s`),
    ],
  }),
};
