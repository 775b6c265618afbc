/**
 * From the connection to the first byte of a sleeping server, beside what the same server takes with stock CRIU, whole or with its own
 * lazy-pages daemon, and when it is started anew.
 */
import {errorMessage} from '../../src/core/errors.ts';
import {line as slowLine} from '../paging/cold-store.ts';
import {writeFigure} from '../paging/plot/write-figure.ts';
import {Samples} from '../paging/samples.ts';
import type {Report, Sample, Suite, SuiteContext} from '../suite.ts';
import {conditions} from './condition.ts';
import {goalsOf, panelOf, tablesOf} from './peers-report.ts';
import {measure} from './rounds.ts';

export const peersSuite: Suite = {
  name: 'peers',
  summary: 'wakes beside stock CRIU, whole and lazy, and a start from nothing',
  defaultRounds: 20,
  quickRounds: 5,
  parts: conditions,
  run,
};

async function run(context: SuiteContext): Promise<Report> {
  const {rounds, signal, progress, only, outputPath} = context;
  const samples = new Samples();
  const record = (sample: Sample): void => {
    samples.add(sample);
    context.record(sample);
  };
  const wanted = conditions.filter((condition) => only.length === 0 || only.includes(condition));
  for (const condition of wanted) {
    try {
      await measure({rounds, signal, progress, record}, condition);
    } catch (error) {
      signal.throwIfAborted();
      progress(`${condition} cannot go on: ${errorMessage(error)}`);
      record({case: condition, round: 0, values: {}, error: errorMessage(error)});
    }
  }
  const figure = {
    title: 'From connection to first byte of a sleeping server',
    footnote: `medians of ${rounds} wakes each, whiskers to the 99th percentile`,
    panels: wanted.map((condition) => panelOf(samples, condition)),
  };
  return {
    tables: wanted.flatMap((condition) => tablesOf(samples, condition)),
    goals: wanted.includes('warm') ? goalsOf(samples) : [],
    notes: [
      `Cold: ${slowLine.addedFirstByteMs} ms to the first byte of the store, ${slowLine.streamBytesPerSecond / 1e6} MB/s per stream`,
      ...samples.failures().map(({case: name, error}) => `Failed: ${name}: ${error ?? ''}`),
      await writeFigure(`${outputPath}-peers`, figure),
    ],
  };
}
