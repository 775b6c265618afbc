import test from 'ava';
import {type Candidate, nextVictim} from '../../src/supervisor/eviction.ts';

const high = {usedBytes: 101, highBytes: 100, lowBytes: 80};
const between = {...high, usedBytes: 90};

/** `a5`: goes, used at 5; `a5!`: last; `a-`: stays. */
function candidates(text: string): Candidate[] {
  return text.split(' ').map((word) => {
    const lastUseMs = Number(/\d+/.exec(word)?.[0]);
    if (word.endsWith('-')) return {name: word.slice(0, 1), verdict: {kind: 'stays', reason: 'pin'}};
    return {name: word.slice(0, 1), verdict: {kind: word.endsWith('!') ? 'last' : 'goes', lastUseMs}};
  });
}

const rows: readonly (readonly [what: string, apps: string, shortage: typeof high, victim: string | undefined])[] = [
  ['the one that was used longest ago', 'a7 b3 c5', high, 'b'],
  ['and more, until less than the low mark is used', 'a7 b3 c5', between, 'b'],
  ['nobody when enough is free', 'a7 b3 c5', {...high, usedBytes: 80}, undefined],
  ['nobody who stays', 'a7 b- c-', high, 'a'],
  ['those that go last after all others', 'a7 b3! c5', high, 'c'],
  ['those that go last when nobody else is left', 'a7! b3! c-', high, 'b'],
  ['but not only to get below the low mark', 'a7! b3! c-', between, undefined],
  ['nobody when all stay', 'a- b-', high, undefined],
];

for (const [what, apps, shortage, victim] of rows) {
  test(`nextVictim(): ${what}`, (t) => t.is(nextVictim(candidates(apps), shortage), victim));
}
