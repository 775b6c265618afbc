import test from 'ava';
import {nextTime, parseSchedule} from '../../src/config/schedule.ts';

const taken: Readonly<Record<string, string>> = {
  '* * * * *': '* * * * *',
  '  30 3  * *\tMon-Fri ': '30 3 * * mon-fri',
  '*/5 0-6/2 1,15 jan,JUL 0': '*/5 0-6/2 1,15 jan,jul 0',
  '0 0 * * 7': '0 0 * * 7',
  '@Hourly': '@hourly',
  '@daily': '@daily',
  '0 3 29 2 *': '0 3 29 2 *',
};
for (const [text, value] of Object.entries(taken)) {
  test(`parseSchedule() takes "${text}"`, (t) => t.deepEqual(parseSchedule(text), {ok: true, value}));
}

const refused: Readonly<Record<string, RegExp>> = {
  '60 * * * *': /^the minute '60' is not 0 to 59/,
  '* 24 * * *': /^the hour '24'/,
  '* * 0 * *': /^the day of the month '0'/,
  '* * * 13 *': /^the month '13'/,
  '* * * foo *': /^the month 'foo'/,
  '* * * * 8': /^the day of the week '8'/,
  '* * * * jan': /^the day of the week 'jan'/,
  '5/15 * * * *': /^the minute '5\/15'/,
  '*/0 * * * *': /^the minute '\*\/0'/,
  '10-5 * * * *': /^the minute '10-5'/,
  '1,, * * * *': /^the minute '1,,'/,
  '0 0 L * *': /^the day of the month 'l'/,
  '0 0 * * 1#2': /^the day of the week '1#2'/,
  '0 0 ? * *': /^the day of the month '\?'/,
  '* * * *': /^five fields are expected .* not 4$/,
  '0 * * * * *': /not 6$/,
  '': /^five fields/,
  '@reboot': /^@hourly, @daily/,
  '@daily *': /^@hourly, @daily/,
  '0 0 31 2 *': /^there is no such day$/,
};
for (const [text, reason] of Object.entries(refused)) {
  test(`parseSchedule() refuses "${text}"`, (t) => {
    const parsed = parseSchedule(text);
    t.regex(parsed.ok ? '' : parsed.reason, reason);
  });
}

/** In the time zone of the test itself, which is whatever it is: local times in, local times out. */
const local = (year: number, month: number, day: number, hour: number, minute: number): number => new Date(year, month - 1, day, hour, minute).getTime();
const noon = local(2026, 6, 10, 12, 0); // A Wednesday.
const times: readonly (readonly [expression: string, next: number])[] = [
  ['* * * * *', local(2026, 6, 10, 12, 1)],
  ['0 12 * * *', local(2026, 6, 11, 12, 0)],
  ['*/7 12 * * *', local(2026, 6, 10, 12, 7)],
  ['30 3 * * mon-fri', local(2026, 6, 11, 3, 30)],
  ['0 0 * * 7', local(2026, 6, 14, 0, 0)],
  ['0 0 1,15 * *', local(2026, 6, 15, 0, 0)],
  // Both days given: one of them is enough.
  ['0 0 20 * fri', local(2026, 6, 12, 0, 0)],
  ['@hourly', local(2026, 6, 10, 13, 0)],
  ['@yearly', local(2027, 1, 1, 0, 0)],
  ['0 3 29 2 *', local(2028, 2, 29, 3, 0)],
];
for (const [expression, next] of times) {
  test(`nextTime() finds "${expression}"`, (t) => t.is(nextTime(expression, noon), next));
}

test('nextTime() goes with the changes of the clock', (t) => {
  const before = process.env['TZ'];
  t.teardown(() => {
    if (before === undefined) delete process.env['TZ'];
    else process.env['TZ'] = before;
  });
  process.env['TZ'] = 'Europe/Berlin';
  const at = (expression: string, after: string): string => new Date(nextTime(expression, Date.parse(after)) ?? 0).toISOString();
  // 02:30 does not exist on that day: it is made up for when the clock has moved.
  t.is(at('30 2 * * *', '2026-03-28T23:00:00Z'), '2026-03-29T01:00:00.000Z');
  // 02:30 comes twice: once is enough. What comes every half hour comes in both.
  t.is(at('30 2 * * *', '2026-10-24T22:00:00Z'), '2026-10-25T00:30:00.000Z');
  t.is(at('30 2 * * *', '2026-10-25T00:30:00Z'), '2026-10-26T01:30:00.000Z');
  t.is(at('*/30 * * * *', '2026-10-25T00:30:00Z'), '2026-10-25T01:00:00.000Z');
});
