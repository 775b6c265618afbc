/** What the soak judges by: the rules of what may be lost, and when something grows. */
import test from 'ava';
import {countGrowth, memorySlope} from '../../bench/soak/growth.ts';
import {Ledger} from '../../bench/soak/ledger.ts';

interface Case {
  readonly title: string;
  readonly happens: (ledger: Ledger) => void;
  readonly read: readonly string[];
  readonly violations: readonly RegExp[];
  readonly lost?: number;
}

const wrote = (ledger: Ledger, value: string, fromMs: number): void => ledger.asked(value, fromMs, fromMs + 1);

const cases: readonly Case[] = [
  {title: 'what was acknowledged is there', happens: (ledger) => wrote(ledger, 'a', 1), read: ['a'], violations: []},
  {title: 'it is gone for nothing', happens: (ledger) => wrote(ledger, 'a', 1), read: [], violations: [/a is gone, .*not killed/], lost: 1},
  {
    title: 'it is gone with the gateway',
    happens(ledger) {
      wrote(ledger, 'a', 1);
      ledger.crash({fromMs: 10, toMs: 20});
    },
    read: [],
    violations: [],
    lost: 1,
  },
  {
    title: 'the gateway was killed before it',
    happens(ledger) {
      ledger.crash({fromMs: 1, toMs: 5});
      wrote(ledger, 'a', 10);
    },
    read: [],
    violations: [/a is gone/],
    lost: 1,
  },
  {
    title: 'a checkpoint had it',
    happens(ledger) {
      wrote(ledger, 'a', 1);
      ledger.checkpoint({fromMs: 5, toMs: 8});
      ledger.crash({fromMs: 10, toMs: 20});
    },
    read: [],
    violations: [/a is gone, .*checkpoint followed/],
    lost: 1,
  },
  {
    title: 'a checkpoint was begun before it',
    happens(ledger) {
      ledger.checkpoint({fromMs: 0, toMs: 8});
      wrote(ledger, 'a', 1);
      ledger.crash({fromMs: 10, toMs: 20});
    },
    read: [],
    violations: [],
    lost: 1,
  },
  {title: 'one that nobody wrote', happens: () => undefined, read: ['x'], violations: [/x, which nobody wrote/]},
  {title: 'one twice', happens: (ledger) => wrote(ledger, 'a', 1), read: ['a', 'a'], violations: [/a value twice/]},
  {title: 'one without an answer is there', happens: (ledger) => ledger.asked('a', 1, null), read: ['a'], violations: []},
  {title: 'one without an answer is not there', happens: (ledger) => ledger.asked('a', 1, null), read: [], violations: []},
  {
    title: 'one that was seen without an answer is gone',
    happens(ledger) {
      ledger.asked('a', 1, null);
      ledger.read(['a'], {fromMs: 5, toMs: 6});
    },
    read: [],
    violations: [/a is gone/],
    lost: 1,
  },
  {
    title: 'one is back',
    happens(ledger) {
      wrote(ledger, 'a', 1);
      ledger.crash({fromMs: 10, toMs: 20});
      ledger.read([], {fromMs: 30, toMs: 31});
    },
    read: ['a'],
    violations: [/a is back/],
    lost: 1,
  },
];

for (const {title, happens, read, violations, lost = 0} of cases) {
  test(`Ledger: ${title}`, (t) => {
    const ledger = new Ledger();
    happens(ledger);
    const found = ledger.read(read, {fromMs: 100, toMs: 101});
    t.is(found.length, violations.length, found.join('\n'));
    for (const [at, expected] of violations.entries()) t.regex(found[at] ?? '', expected);
    t.is(ledger.lost, lost);
  });
}

test('countGrowth(): what only goes up and down is level, what stays higher grows', (t) => {
  t.false(countGrowth([5, 6, 5, 6, 5, 6, 5, 6])?.grows);
  t.false(countGrowth([5, 9, 9, 9, 9, 9, 9, 5])?.grows);
  t.true(countGrowth([5, 5, 6, 6, 7, 7, 8, 8])?.grows);
  t.true(countGrowth([5, 6])?.grows);
  t.is(countGrowth([5]), null);
});

test('memorySlope(): one line for all processes, each from its own height', (t) => {
  const minutes = (count: number): number[] => Array.from({length: count}, (_, at) => at);
  const points = (bytesAt: (minute: number, pid: number) => number): {pid: number; atMs: number; bytes: number}[] =>
    [1, 2].flatMap((pid) => minutes(30).map((minute) => ({pid, atMs: (pid * 30 + minute) * 60_000, bytes: bytesAt(minute, pid)})));
  const noise = (minute: number): number => (minute % 3) * 2 ** 20;
  const mebibyte = 2 ** 20;
  const level = memorySlope(points((minute, pid) => pid * 50 * mebibyte + noise(minute)));
  t.false(level?.grows);
  const growing = memorySlope(points((minute, pid) => pid * 50 * mebibyte + minute * mebibyte + noise(minute)));
  t.true(growing?.grows);
  t.true(Math.abs((growing?.bytesPerHour ?? 0) / mebibyte - 60) < 5);
  t.is(memorySlope([]), null);
});
