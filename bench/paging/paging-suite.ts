/**
 * What the pager is worth: the figures 7 and 8 of the Picocenter paper (EuroSys 2016) for four ways of bringing memory back, from the
 * local disk and from S3, and what hibernation costs. Each part has gateways of its own; one that fails does not end the others.
 */
import {errorMessage} from '../../src/core/errors.ts';
import {rootfsWith} from '../../test/helpers/rootfs.ts';
import type {Report, Sample, Suite, SuiteContext} from '../suite.ts';
import {nothing, type Table} from '../table.ts';
import {chainPart} from './chain.ts';
import {line as slowLine} from './cold-store.ts';
import {hibernationsPart} from './hibernations.ts';
import {largePart} from './large.ts';
import type {PagingBench, PagingPart} from './paging-bench.ts';
import {writeFigure} from './plot/write-figure.ts';
import {Samples} from './samples.ts';
import {selectionOf} from './selection.ts';
import {shiftedSetsPart} from './shifted-sets.ts';
import {togetherPart} from './together.ts';
import {workingSetsPart} from './working-sets.ts';

const parts: readonly PagingPart[] = [workingSetsPart('warm'), workingSetsPart('cold'), shiftedSetsPart, hibernationsPart, chainPart, togetherPart, largePart];

export const pagingSuite: Suite = {
  name: 'paging',
  summary: 'memory of a woken server: by working set, shifted, warm and cold; cost of hibernation',
  defaultRounds: 20,
  quickRounds: 5,
  parts: parts.map(({name}) => name),
  run,
};

async function run(context: SuiteContext): Promise<Report> {
  const samples = new Samples();
  const bench: PagingBench = {
    rounds: context.rounds,
    selection: selectionOf(context),
    python: await rootfsWith('python3'),
    signal: context.signal,
    progress: context.progress,
    record: (sample: Sample) => {
      samples.add(sample);
      context.record(sample);
    },
  };
  const wanted = parts.filter(({name}) => context.only.length === 0 || context.only.includes(name));
  for (const part of wanted) {
    context.progress(`${part.name}: ${part.summary}`);
    try {
      await part.run(bench);
    } catch (error) {
      context.signal.throwIfAborted();
      context.progress(`${part.name} cannot go on: ${errorMessage(error)}`);
      bench.record({case: part.name, round: 0, values: {}, error: errorMessage(error)});
    }
  }
  const reports = wanted.map((part) => part.report(samples, bench.selection));
  const panels = reports.flatMap((report) => report.panels ?? []);
  const notes = [
    `Cold: an S3 server on this host, behind a proxy that adds ${slowLine.addedFirstByteMs} ms to the first byte and lets ${slowLine.streamBytesPerSecond / 1e6} MB/s through per stream; reads are answered from the proxy's copies, because that server takes 50 ms and more for a range`,
  ];
  if (panels.some(({series}) => series.some(({points}) => points.length > 0))) {
    const footnote = `medians of ${context.rounds} wakes each, whiskers to the 95th percentile; cold: ${slowLine.addedFirstByteMs} ms to the first byte, ${slowLine.streamBytesPerSecond / 1e6} MB/s per stream`;
    notes.push(await writeFigure(context.outputPath, {title: 'From connection to answer of a sleeping server', footnote, panels}));
  }
  return {
    tables: [...reports.flatMap(({tables}) => tables.filter(hasFigures)), ...failureTable(samples)],
    goals: reports.flatMap(({goals}) => goals),
    notes,
  };
}

/** A part that could not be had has none; the reason is in the table of failures. */
function hasFigures({rows}: Table): boolean {
  return rows.some((row) => row.slice(1).some((cell) => cell !== nothing && cell !== '0'));
}

/** What failed and why, each case once. */
function failureTable(samples: Samples): Table[] {
  const failures = new Map(samples.failures().map((sample) => [sample.case, sample.error ?? '']));
  if (failures.size === 0) return [];
  const rows = [...failures].map(([name, error]) => [name, String(samples.failures(name).length), oneLine(error)]);
  return [{title: 'FAILED', head: ['case', 'times', 'last reason'], rows}];
}

function oneLine(text: string): string {
  const line = text.replaceAll(/\s+/g, ' ').trim();
  return line.length > 160 ? `${line.slice(0, 157)}...` : line;
}
