/** A suite of parts. Each starts what it needs by itself; one that fails is a sample with an error, and the others go on. */
import {errorMessage} from '../src/core/errors.ts';
import type {Panel} from './paging/plot/panel.ts';
import {writeFigure} from './paging/plot/write-figure.ts';
import {Samples} from './paging/samples.ts';
import type {Goal, Report, Suite, SuiteContext} from './suite.ts';
import type {Table} from './table.ts';

export type PartContext = Omit<SuiteContext, 'only' | 'outputPath'>;

export interface PartReport {
  readonly tables: readonly Table[];
  readonly goals: readonly Goal[];
  readonly panels?: readonly Panel[];
  readonly notes?: readonly string[];
}

export interface Part {
  readonly name: string;
  readonly summary: string;
  run(context: PartContext): Promise<void>;
  /** Of whatever was measured. Not called when nothing was. */
  report(samples: Samples): PartReport;
}

export interface PartsOptions extends Pick<Suite, 'name' | 'summary' | 'defaultRounds' | 'quickRounds'> {
  readonly parts: readonly Part[];
  /** Of the plot. */
  readonly title: string;
}

export function suiteOfParts({parts, title, ...suite}: PartsOptions): Suite {
  return {
    ...suite,
    parts: parts.map(({name}) => name),
    run: (context) =>
      runParts(
        context,
        parts.filter(({name}) => context.only.length === 0 || context.only.includes(name)),
        title,
      ),
  };
}

async function runParts({only: _, outputPath, ...context}: SuiteContext, parts: readonly Part[], title: string): Promise<Report> {
  const reports: PartReport[] = [];
  const failures: string[][] = [];
  for (const part of parts) {
    context.progress(`${part.name}: ${part.summary}`);
    const samples = new Samples();
    const record: PartContext['record'] = (sample) => {
      samples.add(sample);
      context.record(sample);
    };
    try {
      await part.run({...context, record});
    } catch (error) {
      context.signal.throwIfAborted();
      context.progress(`${part.name} cannot go on: ${errorMessage(error)}`);
      record({case: part.name, round: 0, values: {}, error: errorMessage(error)});
    }
    failures.push(...samples.failures().map((sample) => [sample.case, String(sample.round), oneLine(sample.error ?? '')]));
    if (samples.count() > samples.failures().length) reports.push(part.report(samples));
  }
  const panels = reports.flatMap((report) => report.panels ?? []);
  const notes = reports.flatMap((report) => report.notes ?? []);
  if (panels.length > 0) notes.push(await writeFigure(outputPath, {title, footnote: `medians of ${context.rounds} rounds`, panels}));
  const failed = failures.length === 0 ? [] : [{title: 'FAILED', head: ['case', 'round', 'reason'], rows: failures}];
  return {tables: [...reports.flatMap(({tables}) => tables), ...failed], goals: reports.flatMap(({goals}) => goals), notes};
}

function oneLine(text: string): string {
  const line = text.replaceAll(/\s+/g, ' ').trim();
  return line.length > 160 ? `${line.slice(0, 157)}...` : line;
}
