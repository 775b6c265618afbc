/** The time to the first answer against the size of the working set (figure 7 of the Picocenter paper), warm or cold. */
import {freePort} from '../../test/helpers/gateway.ts';
import {bytes} from '../table.ts';
import {learns, type Mode, modes, type PagingApp} from './paging-apps.ts';
import type {PagingBench, PagingPart, PartReport} from './paging-bench.ts';
import {type Temperature, withGateway} from './places.ts';
import type {Panel} from './plot/panel.ts';
import type {Samples} from './samples.ts';
import {appMiB, type Content, contentNames, type Selection} from './selection.ts';
import {coldGoals, warmGoals} from './set-goals.ts';
import {wakeSeries, wakeTable} from './wake-figures.ts';
import {measureWakes, type WakeCase} from './wakes.ts';

export function setCase(temperature: Temperature, {content, sizeBytes, mode}: {content: Content; sizeBytes: number; mode: Mode}): string {
  return `${temperature}, ${contentNames[content]}, ${bytes(sizeBytes)}, ${mode}`;
}

/** What is installed depends on what was touched before, so each working set has apps of its own for the modes that learn. */
async function planCases(temperature: Temperature, content: Content, sizesBytes: readonly number[]): Promise<WakeCase[]> {
  const apps = new Map<string, PagingApp>();
  const cases: WakeCase[] = [];
  for (const sizeBytes of sizesBytes) {
    for (const mode of modes) {
      const name = `${mode.replace(' ', '-')}${learns(mode) ? `-${sizeBytes}` : ''}`;
      const app = apps.get(name) ?? {name, mode, content, sizeMiB: appMiB, port: await freePort()};
      apps.set(name, app);
      cases.push({name: setCase(temperature, {content, sizeBytes, mode}), app, request: `touch ${sizeBytes}`});
    }
  }
  return cases;
}

async function run(temperature: Temperature, bench: PagingBench): Promise<void> {
  const {contents, workingSetsBytes} = bench.selection;
  for (const content of contents) {
    bench.progress(`${temperature}, ${contentNames[content]} pages, ${workingSetsBytes.length} working sets`);
    const cases = await planCases(temperature, content, workingSetsBytes);
    const apps = [...new Set(cases.map(({app}) => app))];
    await withGateway(bench, {temperature, apps}, async (wakeRun) => measureWakes(wakeRun, cases));
  }
}

function panel(temperature: Temperature, samples: Samples, {contents, workingSetsBytes}: Selection): Panel {
  return {
    title: `${temperature}: size of the working set, of ${appMiB} MiB`,
    x: {label: 'working set', scale: 'log2', show: bytes},
    y: {label: 'connection to answer (ms)', scale: 'log10', show: String},
    series: wakeSeries(samples, contents, (content, mode) =>
      workingSetsBytes.map((sizeBytes) => ({x: sizeBytes, name: setCase(temperature, {content, sizeBytes, mode})})),
    ),
  };
}

function report(temperature: Temperature, samples: Samples, selection: Selection): PartReport {
  const {contents, workingSetsBytes} = selection;
  const tables = contents.map((content) =>
    wakeTable(samples, {
      title: `Wake, ${temperature}, ${contentNames[content]} pages: milliseconds from connect() to the whole first answer`,
      traffic: temperature === 'cold',
      groups: workingSetsBytes.map((sizeBytes) => ({
        label: bytes(sizeBytes),
        names: modes.map((mode) => [mode, setCase(temperature, {content, sizeBytes, mode})] as const),
      })),
    }),
  );
  const nameOf = (content: Content, sizeBytes: number, mode: Mode): string => setCase(temperature, {content, sizeBytes, mode});
  const goals = temperature === 'warm' ? warmGoals(samples, selection, nameOf) : coldGoals(samples, nameOf);
  return {tables, goals, panels: [panel(temperature, samples, selection)]};
}

export function workingSetsPart(temperature: Temperature): PagingPart {
  return {
    name: temperature,
    summary: temperature === 'warm' ? 'wakes from the local disk by size of the working set' : 'the same from S3, over a line with a delay',
    run: async (bench) => run(temperature, bench),
    report: (samples, selection) => report(temperature, samples, selection),
  };
}
