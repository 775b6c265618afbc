/** The edge without apps beside the programs that it replaces: what a request, a connection, an answer, a reload cost. */
import {mkdtemp, rm} from 'node:fs/promises';
import {run as runCommand} from '../../src/core/command.ts';
import {errorMessage} from '../../src/core/errors.ts';
import {Samples} from '../paging/samples.ts';
import type {Report, Sample, Suite, SuiteContext} from '../suite.ts';
import {checkTimePart} from './check-time.ts';
import type {EdgeBench, EdgePart} from './edge-bench.ts';
import {idleConnectionsPart} from './idle-connections.ts';
import {namesPart} from './names.ts';
import {httpProxyVersion} from './programs.ts';
import {reloadsPart} from './reloads.ts';
import {streamsPart} from './streams.ts';
import {webPart} from './web.ts';

const parts: readonly EdgePart[] = [streamsPart, webPart, namesPart, idleConnectionsPart, reloadsPart, checkTimePart];

export const edgeSuite: Suite = {
  name: 'edge',
  summary: 'frontends without apps beside HAProxy and http-proxy: rates, memory, reloads, checking',
  defaultRounds: 5,
  quickRounds: 3,
  parts: parts.map(({name}) => name),
  run,
};

const loadSeconds = {quick: 2, usual: 4, full: 10} as const;

async function run(context: SuiteContext): Promise<Report> {
  await using scope = new AsyncDisposableStack();
  const directory = await mkdtemp('/var/tmp/picogate-bench-edge-');
  scope.defer(() => rm(directory, {recursive: true, force: true}));
  const samples = new Samples();
  const bench: EdgeBench = {
    rounds: context.rounds,
    loadSeconds: context.full ? loadSeconds.full : context.quick ? loadSeconds.quick : loadSeconds.usual,
    directory,
    signal: context.signal,
    progress: context.progress,
    record: (sample: Sample) => {
      samples.add(sample);
      context.record(sample);
    },
  };
  const wanted = parts.filter(({name}) => context.only.length === 0 || context.only.includes(name));
  const notes = [`Peers: ${(await peerVersions()).join(', ')}; one process each, with one thread`];
  for (const part of wanted) {
    context.progress(`${part.name}: ${part.summary}`);
    try {
      await part.run(bench);
    } catch (error) {
      context.signal.throwIfAborted();
      bench.record({case: part.name, round: 0, values: {}, error: errorMessage(error)});
      notes.push(`FAILED: ${part.name}: ${errorMessage(error)}`);
    }
  }
  const reports = wanted.map((part) => part.report(samples));
  return {tables: reports.map(({table}) => table), goals: reports.flatMap(({goals}) => goals), notes};
}

async function peerVersions(): Promise<string[]> {
  const versions = [
    {name: 'HAProxy', argv: ['haproxy', '-v'], pattern: /version (\S+)/},
    {name: 'nginx', argv: ['sh', '-c', 'nginx -v 2>&1'], pattern: /nginx\/(\S+)/},
    {name: 'wrk', argv: ['sh', '-c', 'wrk -v || true'], pattern: /wrk (?:debian\/)?(\S+)/},
    {name: 'dnsperf', argv: ['sh', '-c', 'dnsperf -h 2>&1 || true'], pattern: /Version (\S+)/},
  ] as const;
  const found = versions.map(async ({name, argv, pattern}) => {
    const {stdout} = await runCommand([...argv], {timeoutMs: 10_000});
    return `${name} ${pattern.exec(stdout)?.[1] ?? 'unknown'}`;
  });
  return [...(await Promise.all(found)), `http-proxy ${httpProxyVersion}`];
}
