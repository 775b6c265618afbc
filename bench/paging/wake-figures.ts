/** How the wakes of a part are shown: rows of a table, and curves. */
import {median, quantile} from '../statistics.ts';
import {bytes, fixed, nothing, type Table} from '../table.ts';
import {type Mode, modes} from './paging-apps.ts';
import type {Series} from './plot/panel.ts';
import type {Samples} from './samples.ts';
import {type Content, contentNames} from './selection.ts';

export interface WakeTable {
  readonly title: string;
  /** With what was fetched from the store. */
  readonly traffic: boolean;
  readonly groups: readonly {readonly label: string; readonly names: readonly (readonly [Mode, string])[]}[];
}

export function wakeTable(samples: Samples, {title, traffic, groups}: WakeTable): Table {
  const rows = groups.flatMap(({label, names}) => {
    const whole = samples.median(names.find(([mode]) => mode === 'whole image')?.[1] ?? '', 'answerMs');
    const onDemand = names.find(([mode]) => mode === 'on demand')?.[1] ?? '';
    return names.map(([mode, name]) => {
      const answers = samples.values(name, 'answerMs');
      const middle = (value: string): number => samples.median(name, value);
      return [
        `${label}, ${mode}`,
        fixed(median(answers)),
        fixed(quantile(answers, 0.95)),
        fixed(median(answers) / whole, 2),
        fixed(middle('firstByteMs')),
        fixed(middle('gatewayMs')),
        fixed(middle('installedPages'), 0),
        percent(unusedShare(samples, name, onDemand)),
        fixed(middle('faults'), 0),
        ...(traffic ? [fixed(middle('requests'), 0), bytes(middle('fetchedBytes'))] : [fixed(middle('faultMicros'))]),
        bytes(middle('bytesWritten')),
        samplesCount(samples, name, answers.length),
      ];
    });
  });
  const paging = traffic ? ['requests', 'fetched'] : ['µs per fault'];
  return {
    title,
    head: ['case', 'median', 'p95', '/ whole', 'first byte', 'in the gateway', 'installed', 'unused', 'faults', ...paging, 'written', 'samples'],
    rows,
  };
}

/**
 * Nobody sees whether an installed page is used. But the pages that the same request faults in when nothing is installed are those that are
 * used; so what was installed, and neither belongs to these nor was left to a fault, was not.
 */
export function unusedShare(samples: Samples, name: string, onDemand: string): number {
  const installed = samples.median(name, 'installedPages');
  const used = samples.median(onDemand, 'faults') - samples.median(name, 'faults');
  return Math.max(0, installed - used) / installed;
}

export function percent(share: number): string {
  return Number.isFinite(share) ? `${fixed(share * 100)} %` : nothing;
}

export function samplesCount(samples: Samples, name: string, count: number): string {
  const failed = samples.failures(name).length;
  return failed === 0 ? String(count) : `${count}, ${failed} FAILED`;
}

/** Blue, green, purple, orange and black that people who cannot tell red from green can tell apart. */
const colours: Record<Mode, string> = {'whole image': '#000000', 'on demand': '#d55e00', 'read ahead': '#cc79a7', 'last run': '#0072b2', predicted: '#009e73'};

/** A curve of medians, with the way up to the p95, per mode and content. */
export function wakeSeries(
  samples: Samples,
  contents: readonly Content[],
  pointsOf: (content: Content, mode: Mode) => readonly {readonly x: number; readonly name: string}[],
): Series[] {
  return modes.flatMap((mode) =>
    contents.map((content) => ({
      name: `${mode}, ${contentNames[content]}`,
      colour: colours[mode],
      dashed: content === 'repeating',
      points: pointsOf(content, mode).flatMap(({x, name}) => {
        const answers = samples.values(name, 'answerMs');
        return answers.length === 0 ? [] : [{x, y: median(answers), high: quantile(answers, 0.95)}];
      }),
    })),
  );
}
