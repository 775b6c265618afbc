/** Schedules as cron(8) reads them, in the local time of the gateway: five fields or a nickname. croner knows the calendar, with its changes of the clock. */
import {Cron} from 'croner';
import type {Shape} from './shapes.ts';
import {type Parsed, refused} from './units.ts';

/** In the order in which they stand; a field may also have the names of its months or days. */
const fields = [
  {name: 'minute', example: '0 to 59', names: ''},
  {name: 'hour', example: '0 to 23', names: ''},
  {name: 'day of the month', example: '1 to 31', names: ''},
  {name: 'month', example: '1 to 12 or jan to dec', names: 'jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec'},
  {name: 'day of the week', example: '0 to 7 or sun to sat', names: 'sun|mon|tue|wed|thu|fri|sat'},
] as const;
const nicknames = ['@hourly', '@daily', '@midnight', '@weekly', '@monthly', '@yearly', '@annually'] as const;

/** @returns the expression with single blanks, in lower case */
export function parseSchedule(text: string): Parsed<string> {
  const words = text.trim().toLowerCase().split(/\s+/);
  const [first = ''] = words;
  if (first.startsWith('@')) {
    return words.length === 1 && nicknames.some((nickname) => nickname === first)
      ? {ok: true, value: first}
      : refused(`${nicknames.join(', ')} are possible, or five fields`);
  }
  if (words.length !== fields.length) return refused(`five fields are expected (${fields.map(({name}) => name).join(', ')}), not ${words.length}`);
  for (const [index, field] of fields.entries()) {
    const word = words[index] ?? '';
    if (!isField(word, index)) return refused(`the ${field.name} '${word}' is not ${field.example}, * or a list, a range or a step of them`);
  }
  const value = words.join(' ');
  return nextTime(value, Date.now()) === null ? refused('there is no such day') : {ok: true, value};
}

/** Our own grammar first: croner takes more than cron does. */
function isField(word: string, index: number): boolean {
  const names = fields[index]?.names ?? '';
  const value = `(?:\\d{1,2}${names === '' ? '' : `|${names}`})`;
  const item = `(?:\\*|${value}(?:-${value})?)(?:/\\d{1,2})?`;
  if (!new RegExp(`^${item}(?:,${item})*$`).test(word)) return false;
  try {
    new Cron(fields.map((_field, at) => (at === index ? word : '*')).join(' '), {paused: true, mode: '5-part'});
    return true;
  } catch {
    return false; // A number is too large, say; what it says is less than what we say.
  }
}

/** When an expression that `parseSchedule` has checked comes next after a time, both in milliseconds since 1970; null: never. */
export function nextTime(expression: string, afterMs: number): number | null {
  return new Cron(expression, {paused: true}).nextRun(new Date(afterMs))?.getTime() ?? null;
}

/** A schedule, with or without quotes. */
export const schedule: Shape<string> = {
  usage: '<minute> <hour> <day> <month> <weekday> | @hourly | @daily...',
  read(args) {
    const first = args.take('<minute>');
    const text = [first, ...args.takeRest()].map((word) => word.text).join(' ');
    const parsed = parseSchedule(text);
    if (!parsed.ok) throw args.invalid({...first, text}, parsed.reason);
    return parsed.value;
  },
};
