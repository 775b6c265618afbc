/** The tables of the suite, and its figures beside the goals. */
import {median, quantile} from '../statistics.ts';
import type {Goal, Report, Sample} from '../suite.ts';
import {bytes, fixed, nothing, type Table} from '../table.ts';
import {type AwakePath, awakeCase, awakePaths} from './awake.ts';
import {deltaCases} from './deltas.ts';
import {firstHibernationCase, idleCase} from './idle.ts';
import {modes} from './wake-apps.ts';
import {memoryCase, type WakePlan, webCase} from './wake-cases.ts';

type Values = (name: string, value: string) => number[];

export function wakeReport(samples: readonly Sample[], plan: WakePlan): Report {
  const values: Values = (name, value) =>
    samples.filter((sample) => sample.case === name).flatMap((sample) => (sample.values[value] === undefined ? [] : [sample.values[value]]));
  return {
    tables: [wakeTable(values, plan), hibernateTable(values, plan), awakeTable(values), memoryTable(samples)],
    goals: goals(values, plan),
  };
}

function wakeTable(values: Values, {cases, workingSetsBytes}: WakePlan): Table {
  const eagerOf = new Map(
    workingSetsBytes.flatMap((size) =>
      [...modes.map((mode) => memoryCase(size, mode)), memoryCase(size, 'predicted', 'nat')].map((name) => [name, memoryCase(size, 'eager')]),
    ),
  );
  for (const mode of modes) eagerOf.set(webCase(mode), webCase('eager'));
  const rows = cases.map(({name}) => {
    const answers = values(name, 'answerMs');
    const eager = median(values(eagerOf.get(name) ?? name, 'answerMs'));
    return [
      name,
      fixed(median(answers)),
      fixed(quantile(answers, 0.99)),
      fixed(median(answers) / eager, 2),
      fixed(median(values(name, 'firstByteMs'))),
      fixed(median(values(name, 'gatewayMs'))),
      fixed(median(values(name, 'ownMs'))),
      fixed(median(values(name, 'predictedPages')), 0),
      fixed(median(values(name, 'faults')), 0),
    ];
  });
  return {
    title: `Wake: milliseconds from connect() to the whole first answer (${values(cases[0]?.name ?? '', 'answerMs').length} rounds)`,
    head: ['case', 'median', 'p99', '/ eager', 'first byte', 'in the gateway', 'without CRIU', 'predicted pages', 'faults'],
    rows,
  };
}

function hibernateTable(values: Values, {cases}: WakePlan): Table {
  const names = [firstHibernationCase, ...Object.values(deltaCases), ...cases.map(({name}) => name)];
  const rows = names.map((name) => [
    name,
    fixed(median(values(name, 'hibernateMs'))),
    fixed(quantile(values(name, 'hibernateMs'), 0.99)),
    fixed(median(values(name, 'frozenMs'))),
    bytes(median(values(name, 'bytesWritten'))),
    bytes(Math.max(...values(name, 'bytesWritten'))),
  ]);
  return {title: 'Hibernation after each of these: milliseconds', head: ['case', 'median', 'p99', 'frozen', 'written', 'most written'], rows};
}

/** Per round, so that what slows the machine down for a while slows both. */
function ratios(values: Values, path: AwakePath, value: string): number[] {
  const direct = values(awakeCase('direct'), value);
  return values(awakeCase(path), value).map((rate, round) => rate / (direct[round] ?? Number.NaN));
}

function awakeTable(values: Values): Table {
  const rows = awakePaths.map((path) => {
    const name = awakeCase(path);
    const relative = (value: string): string[] => {
      const found = ratios(values, path, value);
      return [
        fixed(median(values(name, value)), 0),
        path === 'direct' ? nothing : `${fixed(median(found), 3)} (${fixed(quantile(found, 0.25), 2)}-${fixed(quantile(found, 0.75), 2)})`,
      ];
    };
    return [name, ...relative('requestsPerSecond'), ...relative('connectionsPerSecond')];
  });
  return {
    title: 'Awake: medians per second; ratio to the direct path of the same round (and its quartiles)',
    head: ['case', 'requests', '/ direct', 'connections', '/ direct'],
    rows,
  };
}

function memoryTable(samples: readonly Sample[]): Table {
  const rows = samples
    .filter(({case: name}) => name.startsWith(idleCase))
    .map(({case: name, values}) => [
      name,
      fixed(values['processes'] ?? Number.NaN, 0),
      bytes(values['residentBytes'] ?? Number.NaN),
      bytes(values['proportionalBytes'] ?? Number.NaN),
    ]);
  return {title: 'Memory', head: ['processes', 'number', 'resident (RSS)', 'proportional (PSS)'], rows};
}

function goals(values: Values, {workingSetsBytes}: WakePlan): Goal[] {
  const largest = Math.max(...workingSetsBytes);
  const web = median(values(webCase('predicted'), 'firstByteMs'));
  const predicted = median(values(memoryCase(largest, 'predicted'), 'firstByteMs'));
  const eager = median(values(memoryCase(largest, 'eager'), 'firstByteMs'));
  const delta = Math.max(...Object.values(deltaCases).map((name) => Math.max(...values(name, 'bytesWritten'))));
  const resident = median(values(idleCase, 'residentBytes'));
  const nat = median(ratios(values, 'mode nat', 'requestsPerSecond'));
  const noise = quantile(ratios(values, 'direct again', 'requestsPerSecond'), 0.25);
  const size = bytes(largest);
  const own = median(values(webCase('predicted'), 'ownMs'));
  return [
    {what: 'nginx, connection to first byte, median', goal: '30 ms or less', found: `${fixed(web)} ms`, met: web <= 30},
    {what: 'nginx, a wake without what CRIU does in it, median', goal: '3 ms or less', found: `${fixed(own)} ms`, met: own <= 3},
    {what: `64 MB, ${size} working set, connection to first byte, median`, goal: '40 ms or less', found: `${fixed(predicted)} ms`, met: predicted <= 40},
    {what: `64 MB, ${size} working set, ratio to the eager restore`, goal: '0.5 or less', found: fixed(predicted / eager, 2), met: predicted / eager <= 0.5},
    {
      what: 'mode nat awake, requests, ratio to the direct path',
      goal: 'within the noise',
      found: `${fixed(nat, 3)} (lower quartile of direct against direct: ${fixed(noise, 3)})`,
      met: nat >= noise,
    },
    {what: 'hibernation after 1 MiB was touched or written, most written', goal: '1.5 MiB or less', found: bytes(delta), met: delta <= 1.5 * 2 ** 20},
    {what: 'idle gateway with one hibernated app, resident', goal: '300 MB or less', found: `${fixed(resident / 1e6, 0)} MB`, met: resident <= 300e6},
  ];
}
