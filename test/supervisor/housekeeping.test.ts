import test from 'ava';
import {generation} from '../../src/core/ids.ts';
import {createLog} from '../../src/core/log.ts';
import {Housekeeping, type HousekeepingOptions} from '../../src/supervisor/housekeeping.ts';
import type {Rest} from '../../src/supervisor/instance.ts';

type Place = Awaited<ReturnType<HousekeepingOptions['pager']['placement']>>;

function sleeper(
  place: Place | (() => Place),
  during: (set: (rest: Rest) => void) => void = () => undefined,
): {housekeeping: Housekeeping; dropped: () => number} {
  let rest: Rest = {kind: 'checkpoint', generation: generation(3), meta: {layers: ['x'], flows: []}};
  let dropped = 0;
  // What is not needed to drop files is left out.
  const options = {
    config: {name: 'shop'},
    pager: {
      async placement() {
        during((next) => {
          rest = next;
        });
        return Promise.resolve(typeof place === 'function' ? place() : place);
      },
    },
    rest: () => rest,
    isAsleep: () => true,
    replace: () => undefined,
    stored: async (current: Rest) => Promise.resolve(current),
    async dropLayers() {
      dropped++;
      return Promise.resolve();
    },
    log: createLog('silent'),
  } as unknown as HousekeepingOptions;
  return {housekeeping: new Housekeeping(options), dropped: () => dropped};
}

const stored = {generation: 3, stored: true, pendingObjects: 0};

test('dropFiles() drops what is stored', async (t) => {
  const {housekeeping, dropped} = sleeper(stored);
  t.true(await housekeeping.dropFiles());
  t.is(dropped(), 1);
});

for (const [what, place] of [
  ['nothing is stored', {...stored, stored: false}],
  ['an object has yet to be uploaded', {...stored, pendingObjects: 1}],
  ['an older generation is stored', {...stored, generation: 2}],
  ['there is no remote store', null],
] as const) {
  test(`dropFiles() drops nothing when ${what}`, async (t) => {
    const {housekeeping, dropped} = sleeper(place);
    t.false(await housekeeping.dropFiles());
    t.is(dropped(), 0);
  });
}

test('dropFiles() drops nothing of an app that has run and slept anew while the store was asked', async (t) => {
  const {housekeeping, dropped} = sleeper(stored, (set) => set({kind: 'checkpoint', generation: generation(4), meta: {layers: ['x', 'y'], flows: []}}));
  t.false(await housekeeping.dropFiles());
  t.is(dropped(), 0);
});
