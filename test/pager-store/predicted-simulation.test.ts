import test from 'ava';
import {emptyModel} from '../../src/pager/prediction/predicted-model.ts';
import {fc} from '../helpers/properties.ts';
import {common, figuresOf, range, scenarios, seeded, settled, simulateWake} from './predicted-simulation.ts';

const seeds = [1, 2, 3];

for (const name of [
  'always the same 8 MiB',
  'a small server, 40 pages',
  '12.5 % touched every other time',
  'two ports, nothing but the program in common',
  'four paths, at random',
]) {
  test(`in the steady state at least 97 % of faults are removed with at most 25 % unused: ${name}`, (t) => {
    const scenario = scenarios[name];
    if (scenario === undefined) return void t.fail('no such scenario');
    for (const seed of seeds) {
      const {removed, unused, expectedUnused} = settled(scenario, {seed});
      t.true(removed >= 0.97, `${removed} removed`);
      t.true(unused <= 0.25, `${unused} unused`);
      t.true(Math.abs(unused - expectedUnused) < 0.05, `${expectedUnused} was expected, ${unused} were unused`);
    }
  });
}

test('pages that are touched only once do not collect', (t) => {
  const scenario = scenarios['5 % of the pages touched only once'];
  if (scenario === undefined) return void t.fail('no such scenario');
  const {removed, unused} = settled(scenario, {});
  t.true(removed >= 0.93 && unused <= 0.05, `${removed} removed, ${unused} unused`);
});

test('when 12.5 % of 8 MiB is shifted, that much faults once, and what is unused is gone again after some wakes', (t) => {
  for (const seed of seeds) {
    const random = seeded(seed);
    const model = emptyModel();
    const results = range(0, 90).map((wake) => simulateWake(model, {keys: ['tcp/80'], touches: [...common, ...range(wake < 40 ? 0 : 256, 2048)]}, {random}));
    t.true((results[40]?.faults ?? 0) < 256 + 60, `${results[40]?.faults} faults`);
    t.true(figuresOf(results.slice(41, 50)).removed > 0.97);
    t.true(figuresOf(results.slice(80)).unused < 0.05);
  }
});

test('whatever an app touches, a plan names only pages that were touched before, each once', (t) => {
  const touches = fc.array(fc.integer({min: 0, max: 400}), {maxLength: 60});
  const wake = fc.record({
    keys: fc.subarray(['tcp/80 GET /a', 'tcp/80 GET /b', 'tcp/80'], {minLength: 0}),
    touches,
    mode: fc.constantFrom('predict', 'last', 'off'),
  });
  fc.assert(
    fc.property(fc.array(wake, {maxLength: 12}), fc.integer(), (wakes, seed) => {
      const random = seeded(seed);
      const model = emptyModel();
      const seen = new Set<number>();
      for (const {mode, ...rest} of wakes) {
        const result = simulateWake(model, rest, {random, mode});
        t.true(result.installed <= seen.size);
        t.true(result.faults <= result.touched);
        if (mode === 'off') t.is(result.faults, result.touched);
        for (const page of rest.touches) seen.add(page);
      }
    }),
  );
});

test('a plan of 2,000 pages is made in a moment', (t) => {
  const random = seeded(1);
  const model = emptyModel();
  for (let wake = 0; wake < 30; wake += 1) simulateWake(model, {keys: ['tcp/80 GET /a', 'tcp/80'], touches: range(0, 2000)}, {random});
  t.true(simulateWake(model, {keys: ['tcp/80 GET /a', 'tcp/80'], touches: range(0, 2000)}, {random}).installed > 1800);
});
