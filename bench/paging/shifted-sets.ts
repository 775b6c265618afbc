/** The time to the first answer when part of the working set is not what it was in the runs before (figure 8 of the Picocenter paper). */

import {errorMessage} from '../../src/core/errors.ts';
import {freePort} from '../../test/helpers/gateway.ts';
import {bytes, fixed} from '../table.ts';
import {limitGoal} from './goal.ts';
import {type Mode, modes, type PagingApp} from './paging-apps.ts';
import type {PagingBench, PagingPart, PartReport} from './paging-bench.ts';
import {type Temperature, temperatures, withGateway} from './places.ts';
import type {Samples} from './samples.ts';
import {appMiB, type Content, contentNames, largestSetBytes, type Selection} from './selection.ts';
import {wakeSeries, wakeTable} from './wake-figures.ts';
import {measureWakes, type WakeCase} from './wakes.ts';

interface Shift {
  readonly temperature: Temperature;
  readonly content: Content;
  readonly percent: number;
  readonly mode: Mode;
}

function shiftCase({temperature, content, percent, mode}: Shift): string {
  return `${temperature}, ${contentNames[content]}, ${bytes(largestSetBytes)} shifted by ${percent} %, ${mode}`;
}

async function planCases(temperature: Temperature, content: Content, shiftsPercent: readonly number[]): Promise<WakeCase[]> {
  const apps: PagingApp[] = [];
  for (const mode of modes) apps.push({name: mode.replace(' ', '-'), mode, content, sizeMiB: appMiB, port: await freePort()});
  const lesson = `touch ${largestSetBytes} 0`;
  return shiftsPercent.flatMap((percent) =>
    apps.map((app) => ({
      name: shiftCase({temperature, content, percent, mode: app.mode}),
      app,
      lesson,
      request: `touch ${largestSetBytes} ${(largestSetBytes * percent) / 100}`,
    })),
  );
}

async function run(bench: PagingBench): Promise<void> {
  const {contents, shiftsPercent} = bench.selection;
  for (const temperature of temperatures) {
    for (const content of contents) {
      bench.progress(`${temperature}, ${contentNames[content]} pages, ${bytes(largestSetBytes)}, ${shiftsPercent.length} shifts`);
      const cases = await planCases(temperature, content, shiftsPercent);
      const apps = [...new Set(cases.map(({app}) => app))];
      try {
        await withGateway(bench, {temperature, apps}, async (wakeRun) => measureWakes(wakeRun, cases));
      } catch (error) {
        // One place that cannot be had does not keep the other from being measured.
        bench.signal.throwIfAborted();
        bench.record({case: `${temperature}, ${contentNames[content]}, shifted`, round: 0, values: {}, error: errorMessage(error)});
      }
    }
  }
}

function report(samples: Samples, {contents, shiftsPercent}: Selection): PartReport {
  const measured = temperatures.filter((temperature) =>
    contents.some((content) => shiftsPercent.some((percent) => modes.some((mode) => samples.has(shiftCase({temperature, content, percent, mode}))))),
  );
  const tables = measured.flatMap((temperature) =>
    contents.map((content) =>
      wakeTable(samples, {
        title: `Wake, ${temperature}, ${contentNames[content]} pages, ${bytes(largestSetBytes)} of which a part is not what was touched before: milliseconds`,
        traffic: temperature === 'cold',
        groups: shiftsPercent.map((percent) => ({
          label: `${percent} % shifted`,
          names: modes.map((mode) => [mode, shiftCase({temperature, content, percent, mode})] as const),
        })),
      }),
    ),
  );
  const predicted = (temperature: Temperature, percent: number): number =>
    samples.median(shiftCase({temperature, content: 'random', percent, mode: 'predicted'}), 'answerMs');
  return {
    tables,
    goals: temperatures.map((temperature) =>
      limitGoal(
        `${temperature}, ${bytes(largestSetBytes)} incompressible, predicted: 12.5 % shifted / not shifted`,
        predicted(temperature, 12.5) / predicted(temperature, 0),
        {atMost: 1.3},
        (value) => fixed(value, 2),
      ),
    ),
    panels: measured.map((temperature) => ({
      title: `${temperature}: ${bytes(largestSetBytes)}, a part of it shifted`,
      x: {label: 'shifted', scale: 'linear', show: (value) => `${value} %`},
      y: {label: 'connection to answer (ms)', scale: 'log10', show: String},
      series: wakeSeries(samples, contents, (content, mode) =>
        shiftsPercent.map((percent) => ({x: percent, name: shiftCase({temperature, content, percent, mode})})),
      ),
    })),
  };
}

export const shiftedSetsPart: PagingPart = {name: 'shift', summary: 'wakes whose working set is not quite that of the runs before', run, report};
