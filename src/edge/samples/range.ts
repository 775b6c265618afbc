import {CodedError} from '../../core/errors.ts';

type IntegerTest = (value: number) => boolean;

const operators: Readonly<Record<string, (bound: number) => IntegerTest>> = {
  eq: (bound) => (value) => value === bound,
  ge: (bound) => (value) => value >= bound,
  gt: (bound) => (value) => value > bound,
  le: (bound) => (value) => value <= bound,
  lt: (bound) => (value) => value < bound,
};

/**
 * `5`, `5:9`, `5:`, `:9`, `ge 5`: HAProxy's manual, section 7.1.2.
 * @param dotted numbers are versions, `3.1`, of 16 bits for each part
 * @throws CodedError ERR_PATTERN
 */
export function parseRange(pattern: string, dotted: boolean): IntegerTest {
  const bound = (text: string): number => {
    const found = dotted ? /^(\d{1,5})(?:\.(\d{1,5}))?$/.exec(text) : /^(-?\d{1,19})$/.exec(text);
    if (found === null) throw badRange(pattern);
    return dotted ? Number(found[1]) * 65536 + Number(found[2] ?? '0') : Number(found[1]);
  };
  const comparison = /^(eq|ge|gt|le|lt)\s+(\S+)$/.exec(pattern);
  if (comparison !== null) {
    const test = operators[comparison[1] ?? ''];
    if (test !== undefined) return test(bound(comparison[2] ?? ''));
  }
  const colon = pattern.indexOf(':');
  if (colon < 0) {
    const wanted = bound(pattern);
    return (value) => value === wanted;
  }
  const low = colon === 0 ? Number.NEGATIVE_INFINITY : bound(pattern.slice(0, colon));
  const high = colon === pattern.length - 1 ? Number.POSITIVE_INFINITY : bound(pattern.slice(colon + 1));
  if (pattern.length === 1 || low > high) throw badRange(pattern);
  return (value) => value >= low && value <= high;
}

function badRange(pattern: string): CodedError<'ERR_PATTERN'> {
  return new CodedError('ERR_PATTERN', `Cannot use pattern "${pattern}": it is neither a number nor a range of numbers`, {source: 'host'});
}
