import test from 'ava';
import type {WorkerStatus} from '../../src/store/workers.ts';
import {type PlacementFacts, place} from '../../src/supervisor/placement.ts';

const gib = 1024 ** 3;

function worker(name: string, changes: Partial<WorkerStatus> = {}): WorkerStatus {
  const load = {memoryBytes: 8 * gib, usedBytes: 0, appsMax: null, awake: 0};
  return {name, address: '192.0.2.1', ...load, labels: {}, isStopping: false, at: 0, state: 'alive', isDraining: false, expiresInMs: 5000, ...changes};
}

const app = {name: 'a', memoryBytes: gib, onWorker: []} as const;
const two = [worker('w1'), worker('w2')];
const nobody = {owner: null, home: null, isStored: true} as const;

const rows: readonly (readonly [what: string, facts: Partial<PlacementFacts>, expected: string])[] = [
  ['an app that somebody has stays there', {owner: 'w2', home: 'w1'}, 'w2'],
  ['also when that one is being drained', {owner: 'w2', workers: [worker('w1'), worker('w2', {isDraining: true})]}, 'w2'],
  ['the lease of a worker that is gone runs out first', {owner: 'w2', workers: [worker('w1'), worker('w2', {state: 'gone'})]}, 'wait: not heard of'],
  ['an app goes where it was last', {home: 'w2', workers: [worker('w1'), worker('w2', {usedBytes: 4 * gib, awake: 4})]}, 'w2'],
  ['but rather where it is wanted, if that is asked for', {home: 'w2', preferred: 'w1'}, 'w1'],
  ['not if it may not be there', {home: 'w2', preferred: 'w1', workers: [worker('w1', {isDraining: true}), worker('w2')]}, 'w2'],
  ['an app without a home goes where most memory is left', {workers: [worker('w1', {usedBytes: gib}), worker('w2')]}, 'w2'],
  ['and where that is the same to the one with fewest apps', {workers: [worker('w1', {awake: 2}), worker('w2', {awake: 1})]}, 'w2'],
  ['no more apps than a worker may have', {workers: [worker('w1', {appsMax: 1, awake: 1}), worker('w2', {awake: 9})]}, 'w2'],
  ['not where there is no room', {home: 'w1', workers: [worker('w1', {usedBytes: 7.5 * gib}), worker('w2')]}, 'w2'],
  ['but where it was last rather than nowhere', {home: 'w1', workers: [worker('w1', {usedBytes: 8 * gib})]}, 'w1'],
  ['nowhere when there is no room at all', {workers: [worker('w1', {usedBytes: 8 * gib})]}, 'none: no room on "w1"'],
  ['not to a worker that is drained', {home: 'w1', workers: [worker('w1', {isDraining: true}), worker('w2')]}, 'w2'],
  ['what is not stored yet stays where it is', {home: 'w1', isStored: false, workers: [worker('w1', {usedBytes: 8 * gib}), worker('w2')]}, 'w1'],
  ['and is waited for when that one is drained', {home: 'w1', isStored: false, workers: [worker('w1', {isDraining: true}), worker('w2')]}, 'wait: brings its'],
  ['and when it was stopped', {home: 'w1', isStored: false, workers: [worker('w1', {state: 'stopped'}), worker('w2')]}, 'none: was stopped before'],
  ['but not when it is gone', {home: 'w1', isStored: false, workers: [worker('w1', {state: 'gone'}), worker('w2')]}, 'w2'],
  [
    'a worker has all labels that are wanted',
    {
      app: {...app, onWorker: [{key: 'disk', value: 'ssd'}]},
      workers: [worker('w1', {labels: {disk: 'hdd'}}), worker('w2', {labels: {disk: 'ssd', zone: 'a'}, usedBytes: 4 * gib})],
    },
    'w2',
  ],
  ['a label that no worker has is named', {app: {...app, onWorker: [{key: 'disk', value: 'tape'}]}}, 'none: no worker has disk=tape'],
  ['that all are drained is said', {workers: two.map((one) => ({...one, isDraining: true}))}, 'none: all workers are drained'],
  ['that there is none is said', {workers: [worker('w1', {state: 'gone'})]}, 'none: no worker is heard of'],
];

for (const [what, facts, expected] of rows) {
  test(`place(): ${what}`, (t) => {
    const placed = place({app, ...nobody, workers: two, ...facts});
    const said = placed.kind === 'worker' ? placed.name : `${placed.kind}: ${placed.reason}`;
    const [kind = '', reason = ''] = expected.split(': ');
    t.true(reason === '' ? said === kind : said.startsWith(`${kind}:`) && said.includes(reason), said);
  });
}
