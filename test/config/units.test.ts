import test from 'ava';
import {parseInteger, parsePort, parseSize, parseTime} from '../../src/config/units.ts';

/** The value, or null for what is refused. */
function table(
  name: string,
  parse: (text: string) => {ok: true; value: number} | {ok: false; reason: string},
  cases: Readonly<Record<string, number | null>>,
): void {
  for (const [text, value] of Object.entries(cases)) {
    test(`${name}() ${value === null ? 'refuses' : 'takes'} ${JSON.stringify(text)}`, (t) => {
      const parsed = parse(text);
      t.is(parsed.ok ? parsed.value : null, value);
    });
  }
}

table('parseTime', parseTime, {
  '0': 0,
  '500': 500,
  '500ms': 500,
  '1us': 1,
  '1500us': 2,
  '30s': 30_000,
  '5m': 300_000,
  '1h': 3_600_000,
  '24d': 2_073_600_000,
  '2147483647': 2_147_483_647,
  '2147483648': null,
  '25d': null,
  '15min': null,
  '10S': null,
  '1.5s': null,
  '1h30m': null,
  '-1s': null,
  '+1s': null,
  ' 1s': null,
  '1 s': null,
  s: null,
  '': null,
  '1constructor': null,
  '99999999999999999999d': null,
});

table('parseSize', parseSize, {
  '0': 0,
  '1000': 1000,
  '64k': 65_536,
  '64K': 65_536,
  '256m': 268_435_456,
  '2G': 2_147_483_648,
  '256mb': null,
  '1t': null,
  '80%': null,
  '1.5g': null,
  '-1k': null,
  k: null,
  '': null,
  '99999999999g': null,
});

table('parsePort', parsePort, {'1': 1, '80': 80, '65535': 65_535, '0': null, '65536': null, '99999': null, http: null, '80x': null, '+1': null, '': null});

table('parseInteger', (text) => parseInteger(text, {min: 1, max: 1000}), {
  '1': 1,
  '1000': 1000,
  '0': null,
  '1001': null,
  '10k': null,
  '0x10': null,
  '1e2': null,
  '-1': null,
  '': null,
});
