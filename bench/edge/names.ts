/** Mode dns: answers from a zone, over UDP. */
import {writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import {freePort} from '../../test/helpers/gateway.ts';
import {limitGoal} from '../paging/goal.ts';
import {fixed} from '../table.ts';
import {type EdgePart, inTurns} from './edge-bench.ts';
import {dnsperf} from './load.ts';
import {picogateProgram, startServer} from './programs.ts';

const caseName = 'mode dns, answers';
const nameCount = 100;
const goalPerSecond = 25_000;

export const namesPart: EdgePart = {
  name: 'dns',
  summary: 'answers from a zone',
  async run(bench) {
    const {directory, signal, loadSeconds, record, progress} = bench;
    progress(caseName);
    const names = Array.from({length: nameCount}, (_, at) => `host${at}.bench.example.com`);
    const port = await freePort();
    const file = join(directory, 'names.cfg');
    const records = names.map((name, at) => `  record ${name} A 192.0.2.${at + 1}\n`).join('');
    await writeFile(file, `frontend names\n  mode dns\n  bind 127.0.0.1:${port}\n  zone bench.example.com ttl 60\n${records}`);
    const queriesFile = join(directory, 'queries.txt');
    await writeFile(queriesFile, names.map((name) => `${name} A\n`).join(''));
    await using _server = await startServer([picogateProgram, '-db', '-f', file], port);
    await dnsperf(port, {seconds: 1, queriesFile, signal});
    await inTurns(bench, [port], async (_port, round) => {
      record({case: caseName, round, values: {perSecond: await dnsperf(port, {seconds: loadSeconds, queriesFile, signal})}});
    });
  },
  report(samples) {
    const perSecond = samples.median(caseName, 'perSecond');
    return {
      table: {title: 'DNS: dnsperf, 8 sockets, 100 queries under way', head: ['median per second', 'Picogate'], rows: [[caseName, fixed(perSecond, 0)]]},
      goals: [limitGoal(`${caseName} per second`, perSecond, {atLeast: goalPerSecond}, (value) => fixed(value, 0))],
    };
  },
};
