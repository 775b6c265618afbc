/** A large app of which little is used. */
import {freePort} from '../../test/helpers/gateway.ts';
import {bytes} from '../table.ts';
import {type Mode, modes} from './paging-apps.ts';
import type {PagingBench, PagingPart, PartReport} from './paging-bench.ts';
import {withGateway} from './places.ts';
import type {Samples} from './samples.ts';
import type {Selection} from './selection.ts';
import {wakeTable} from './wake-figures.ts';
import {measureWakes, type WakeCase} from './wakes.ts';

const setBytes = 10 * 2 ** 20;
/** Its memory is read and written as a whole in one of the modes, which takes seconds each time. */
const roundsMax = 10;

function largeCase({largeMiB}: Selection, mode: Mode): string {
  return `${largeMiB} MiB, ${bytes(setBytes)} touched, ${mode}`;
}

async function run(bench: PagingBench): Promise<void> {
  const {selection} = bench;
  const cases: WakeCase[] = [];
  for (const mode of modes) {
    const app = {name: mode.replace(' ', '-'), mode, content: 'random', sizeMiB: selection.largeMiB, port: await freePort()} as const;
    cases.push({name: largeCase(selection, mode), app, request: `touch ${setBytes}`});
  }
  const limited = {...bench, rounds: Math.min(bench.rounds, roundsMax)};
  await withGateway(limited, {temperature: 'warm', apps: cases.map(({app}) => app)}, async (wakeRun) => measureWakes(wakeRun, cases));
}

function report(samples: Samples, selection: Selection): PartReport {
  const names = modes.map((mode) => [mode, largeCase(selection, mode)] as const);
  const label = `${selection.largeMiB} MiB, ${bytes(setBytes)}`;
  return {tables: [wakeTable(samples, {title: 'Wake, warm, of a large app: milliseconds', traffic: false, groups: [{label, names}]})], goals: []};
}

export const largePart: PagingPart = {name: 'large', summary: 'a large app of which little is used', run, report};
