/** What a day was like: tables and plot. */
import type {Samples} from '../paging/samples.ts';
import type {Part, PartReport} from '../parts.ts';
import {spreadSeries} from '../spread.ts';
import {bytes, fixed} from '../table.ts';
import {runDay} from './day.ts';
import {dayCases} from './day-cases.ts';

function report(samples: Samples): PartReport {
  const total = (field: string): number => samples.median(dayCases.totals, field);
  const [used, always, own] = [total('activeGbSeconds'), total('alwaysOnGbSeconds'), total('gatewayGbSeconds')];
  const share = (value: number): string => `${fixed((value / always) * 100)} %`;
  const rows = [
    ['apps', fixed(total('apps'), 0)],
    ['visits', fixed(total('visits'), 0)],
    ['without an answer', fixed(total('failed'), 0)],
    ['for whom an app woke', fixed(total('waited'), 0)],
    ['wakes', fixed(total('wakes'), 0)],
    ['hibernations', fixed(total('hibernations'), 0)],
    ['errors', fixed(total('errors'), 0)],
    ['GB-seconds of the apps', `${fixed(used, 0)} (${share(used)})`],
    ['GB-seconds of the gateway', `${fixed(own, 0)} (${share(own)})`],
    ['GB-seconds, always on', fixed(always, 0)],
    ['written to the store', bytes(total('bytesWritten'))],
    ['for each hibernation', bytes(total('bytesWritten') / total('hibernations'))],
  ];
  const waits = [dayCases.waiting, dayCases.others].map((name) => [
    name,
    ...['p50Ms', 'p95Ms', 'p99Ms', 'p100Ms'].map((field) => fixed(samples.median(name, field))),
  ]);
  const hours = Array.from({length: 24}, (_, hour) => {
    const y = samples.median(dayCases.hour(hour), 'awake');
    return {x: hour, y, high: y};
  });
  return {
    tables: [
      {title: `A synthetic day, ${fixed(total('factor'), 0)} times as fast; one app that is awake takes ${bytes(total('eachBytes'))}`, head: ['', ''], rows},
      {title: 'Visitors, connect() to answer, milliseconds', head: ['', 'p50', 'p95', 'p99', 'slowest'], rows: waits},
    ],
    goals: [{what: 'a day: visits answered', goal: 'all', found: `${total('visits') - total('failed')} of ${total('visits')}`, met: total('failed') === 0}],
    panels: [
      {
        title: `apps that are awake, of ${fixed(total('apps'), 0)}`,
        x: {label: 'hour of the day', scale: 'linear', show: String},
        y: {label: 'mean of the hour', scale: 'log10', show: String},
        series: [{name: 'awake', colour: '#009e73', dashed: false, points: hours.filter(({y}) => y > 0)}],
      },
      {
        title: 'visitors',
        x: {label: 'percentile', scale: 'linear', show: String},
        y: {label: 'connection to answer (ms)', scale: 'log10', show: String},
        series: [
          spreadSeries(samples, dayCases.waiting, {name: dayCases.waiting, colour: '#0072b2', dashed: false}),
          spreadSeries(samples, dayCases.others, {name: dayCases.others, colour: '#0072b2', dashed: true}),
        ],
      },
    ],
    notes: ['Compressed time: wakes that come one after the other on a real day come together here, and a wake takes as much longer compared with the pauses.'],
  };
}

export const dayPart: Part = {name: 'day', summary: 'a day of mostly idle apps in compressed time', run: runDay, report};
