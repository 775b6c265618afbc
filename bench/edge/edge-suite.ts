/** Traffic to what is awake, beside the programs that do the same: what a request, a connection, an answer, a reload cost. */
import {mkdir, mkdtemp, rm} from 'node:fs/promises';
import {join} from 'node:path';
import {run as runCommand} from '../../src/core/command.ts';
import {errorMessage} from '../../src/core/errors.ts';
import {writeFigure} from '../paging/plot/write-figure.ts';
import {Samples} from '../paging/samples.ts';
import type {Report, Sample, Suite, SuiteContext} from '../suite.ts';
import {checkTimePart} from './check-time.ts';
import {comparisonParts} from './comparisons.ts';
import {coreCount, keepToLoadCore} from './cores.ts';
import type {EdgeBench, EdgePart} from './edge-bench.ts';
import {idleConnectionsPart} from './idle-connections.ts';
import {namesPart} from './names.ts';
import {httpProxyVersion, socketProxyProgram} from './peers.ts';
import {reloadsPart} from './reloads.ts';

const parts: readonly EdgePart[] = [...comparisonParts, namesPart, idleConnectionsPart, reloadsPart, checkTimePart];

export const edgeSuite: Suite = {
  name: 'edge',
  summary: 'awake traffic beside HAProxy, nginx, systemd-socket-proxyd and http-proxy: rates, latency, transfers, memory; reloads, checking',
  defaultRounds: 5,
  quickRounds: 3,
  parts: parts.map(({name}) => name),
  run,
};

const loadSeconds = {quick: 2, usual: 4, full: 10} as const;
/** What a part may take at most. */
const partMinutes = {quick: 8, usual: 20, full: 60} as const;

async function run(context: SuiteContext): Promise<Report> {
  await using scope = new AsyncDisposableStack();
  const directory = await mkdtemp('/var/tmp/picogate-bench-edge-');
  scope.defer(() => rm(directory, {recursive: true, force: true}));
  scope.use(await keepToLoadCore());
  const size = context.full ? 'full' : context.quick ? 'quick' : 'usual';
  const samples = new Samples();
  const common: Omit<EdgeBench, 'directory' | 'signal'> = {
    rounds: context.rounds,
    loadSeconds: loadSeconds[size],
    progress: context.progress,
    record: (sample: Sample) => {
      samples.add(sample);
      context.record(sample);
    },
  };
  const wanted = parts.filter(({name}) => context.only.length === 0 || context.only.includes(name));
  const notes = [
    `Peers: ${(await peerVersions()).join(', ')}; one process each, with one thread`,
    coreCount > 1 ? 'Load, and servers behind, on core 0; what is measured on core 1 (taskset)' : 'Everything on one core',
  ];
  for (const part of wanted) {
    context.progress(`${part.name}: ${part.summary}`);
    const partDirectory = join(directory, part.name);
    await mkdir(partDirectory);
    const timeout = AbortSignal.timeout(partMinutes[size] * 60_000);
    try {
      await part.run({...common, directory: partDirectory, signal: AbortSignal.any([context.signal, timeout])});
    } catch (error) {
      context.signal.throwIfAborted();
      common.record({case: part.name, round: 0, values: {}, error: errorMessage(error)});
    }
  }
  for (const failure of samples.failures()) notes.push(`FAILED: ${failure.case}: ${failure.error}`);
  const reports = wanted.map((part) => part.report(samples));
  const panels = reports.flatMap((report) => report.panels ?? []);
  if (panels.length > 0) notes.push(await writeFigure(context.outputPath, {title: 'Awake traffic', footnote: plotNote, panels}));
  return {tables: reports.map(({table}) => table), goals: reports.flatMap(({goals}) => goals), notes};
}

const plotNote = 'Rates: medians, with a whisker to the best round; latencies: medians, with a whisker to the p99. Log scales.';

async function peerVersions(): Promise<string[]> {
  const versions = [
    {name: 'HAProxy', argv: ['haproxy', '-v'], pattern: /version (\S+)/},
    {name: 'nginx', argv: ['sh', '-c', 'nginx -v 2>&1'], pattern: /nginx\/(\S+)/},
    {name: 'wrk', argv: ['sh', '-c', 'wrk -v || true'], pattern: /wrk (?:debian\/)?(\S+)/},
    {name: 'systemd-socket-proxyd', argv: [socketProxyProgram, '--version'], pattern: /systemd \d+ \((\S+)\)/},
    {name: 'curl', argv: ['curl', '--version'], pattern: /curl (\S+)/},
    {name: 'dnsperf', argv: ['sh', '-c', 'dnsperf -h 2>&1 || true'], pattern: /Version (\S+)/},
  ] as const;
  const found = versions.map(async ({name, argv, pattern}) => {
    const {stdout} = await runCommand([...argv], {timeoutMs: 10_000});
    return `${name} ${pattern.exec(stdout)?.[1] ?? 'unknown'}`;
  });
  return [...(await Promise.all(found)), `http-proxy ${httpProxyVersion}`];
}
