/** As much of the evaluator of expressions as the tests of rules need; the real one has tests of its own. */
import type {Condition, Format, SampleExpression} from '../../../src/config/sample.ts';
import type {Compilers} from '../../../src/edge/http/compilers.ts';
import type {SampleContext, SampleValue} from '../../../src/edge/samples/context.ts';

const position = {file: 'test.cfg', line: 1, column: 1};

function text(value: string | null | undefined): SampleValue {
  return value === null || value === undefined ? null : {type: 'str', value};
}

function headerValue(headers: readonly (readonly [string, string])[] | undefined, name: string): string | undefined {
  return headers?.find(([key]) => key.toLowerCase() === name.toLowerCase())?.[1];
}

const fetches: Readonly<Record<string, (context: SampleContext, argument: string) => SampleValue>> = {
  hdr: ({request}, name) => text(headerValue(request?.headers, name)),
  'res.hdr': ({response}, name) => text(headerValue(response?.headers, name)),
  path: ({request}) => text(request?.uri.replace(/\?.*$/, '')),
  url: ({request}) => text(request?.uri),
  method: ({request}) => text(request?.method),
  src: ({connection}) => text(connection.source.host),
  status: ({response}) => text(response === null ? null : String(response.status)),
  str: (_context, value) => text(value),
  var: ({variables}, name) => variables.get(name),
  body: ({request}) => text(request?.body === null || request?.body === undefined ? null : Buffer.from(request.body).toString('latin1')),
};

export function expression(source: string): SampleExpression {
  const [, name = '', argument] = /^([\w.]+)(?:\((.*)\))?$/.exec(source) ?? [];
  return {text: source, fetch: {name, args: argument === undefined ? [] : [argument]}, converters: []};
}

/** `text %[fetch(argument)] text` */
export function format(source: string): Format {
  const options = {quote: false, escape: false, hex: false, dashIfMissing: false};
  return source
    .split(/(%\[[^\]]*\])/)
    .filter((part) => part !== '')
    .map((part) => (part.startsWith('%[') ? {kind: 'sample', expression: expression(part.slice(2, -1)), options} : {kind: 'text', text: part}));
}

/** `path = /a`, `hdr(x) beg v`, `!method = GET`; several are all needed. */
export function condition(...terms: readonly string[]): Condition {
  return {
    unless: false,
    anyOf: [
      terms.map((term) => {
        const [, not = '', fetch = '', how = '', pattern = ''] = /^(!?)(\S+) (=|beg|found) ?(.*)$/.exec(term) ?? [];
        const method = how === '=' ? 'str' : how === 'beg' ? 'beg' : 'found';
        return {
          negated: not === '!',
          text: term,
          tests: [{expression: expression(fetch), method, ignoreCase: false, patterns: [pattern], files: [], position}],
        };
      }),
    ],
  };
}

function evaluate({fetch}: SampleExpression): (context: SampleContext) => SampleValue {
  const found = fetches[fetch.name];
  if (found === undefined) throw new Error(`no fetch "${fetch.name}" in tests`);
  return (context) => found(context, fetch.args[0] ?? '');
}

function shown(value: SampleValue): string {
  return value === null ? '' : String(value.value);
}

export const testCompilers: Compilers = {
  expression: evaluate,
  regex: (pattern, flags) => new RegExp(pattern, flags),
  patternLists: () => [],
  format: (parts) => {
    const makers = parts.map((part) => {
      if (part.kind === 'text') return () => part.text;
      if (part.kind === 'variable') throw new Error('no log variables in tests');
      const value = evaluate(part.expression);
      return (context: SampleContext) => shown(value(context));
    });
    return (context) => makers.map((make) => make(context)).join('');
  },
  condition: ({unless, anyOf}) => {
    const all = anyOf.map((terms) =>
      terms.map(({negated, tests}) => {
        const checks = tests.map(({expression: sample, method, patterns}) => {
          const value = evaluate(sample);
          return (context: SampleContext): boolean => {
            const found = value(context);
            if (method === 'found') return found !== null;
            return found !== null && patterns.some((pattern) => (method === 'beg' ? shown(found).startsWith(pattern) : shown(found) === pattern));
          };
        });
        return (context: SampleContext) => checks.some((check) => check(context)) !== negated;
      }),
    );
    return (context) => all.some((terms) => terms.every((term) => term(context))) !== unless;
  },
};
