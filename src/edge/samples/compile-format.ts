/** Texts with expressions and log variables in them: HAProxy's manual, section 8.2.6. */
import type {Format, FormatOptions, FormatPart, SampleExpression} from '../../config/sample.ts';
import {CodedError} from '../../core/errors.ts';
import type {SampleContext, SampleValue} from './context.ts';
import {escaped, logVariable} from './log-variables.ts';
import {byteString, toText} from './value.ts';

/** Null: nothing is written at all, not even an empty text, so that blanks around it are one. */
export type Writer = (context: SampleContext) => string | null;

/** For a log line, for a part of an HTTP message, or for something else. */
export type FormatUse = 'log' | 'message' | 'value';

type Evaluate = (context: SampleContext) => SampleValue;

export function formatCompiler(compile: (expression: SampleExpression) => Evaluate): (format: Format, use: FormatUse) => (context: SampleContext) => string {
  return (format, use) => (use === 'log' ? logWriter(format, compile) : valueWriter(format, compile, use === 'message'));
}

function valueWriter(format: Format, compile: (expression: SampleExpression) => Evaluate, isMessage: boolean): (context: SampleContext) => string {
  const writers = format.map((part) => partWriter(part, compile, isMessage ? encoded : asItIs));
  const [only] = writers;
  if (only !== undefined && writers.length === 1) return (context) => only(context) ?? '';
  return (context) => {
    let out = '';
    for (const write of writers) out += write(context) ?? '';
    return out;
  };
}

/** A run of blanks in the text of a log format, which is at most one space in the line. */
const blank = Symbol('blank');
type Piece = Writer | typeof blank | string;

function textPieces(text: string): Piece[] {
  const runs = byteString(text).match(/[ \t\r\n]+|[^ \t\r\n]+/g) ?? [];
  return runs.map((run) => (/^[ \t\r\n]/.test(run) ? blank : run));
}

/** Blanks are one space, none in front, and none beside what wrote nothing. */
function logWriter(format: Format, compile: (expression: SampleExpression) => Evaluate): (context: SampleContext) => string {
  const pieces = format.flatMap((part) => (part.kind === 'text' ? textPieces(part.text) : [partWriter(part, compile, asItIs)]));
  return (context) => {
    let out = '';
    let afterBlank = true;
    for (const piece of pieces) {
      const text = piece === blank ? (afterBlank ? null : ' ') : typeof piece === 'string' ? piece : piece(context);
      if (text === null) continue;
      out += text;
      afterBlank = piece === blank;
    }
    return out;
  };
}

const asItIs = (text: string): string => text;

const controls = /[\0-\x08\n-\x1f\x7f]/g;

/** No value makes a line of its own. */
function encoded(text: string): string {
  return text.replace(controls, (control) => `%${control.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`);
}

function partWriter(part: FormatPart, compile: (expression: SampleExpression) => Evaluate, encode: (text: string) => string): Writer {
  switch (part.kind) {
    case 'text': {
      const text = byteString(part.text);
      return () => text;
    }
    case 'sample': {
      const evaluate = compile(part.expression);
      const dress = dresser(part.options);
      return (context) => {
        const value = evaluate(context);
        return dress(value === null ? '' : encode(toText(value)));
      };
    }
    case 'variable':
      return variableWriter(part.name, part.options);
    default:
      return part satisfies never;
  }
}

function variableWriter(name: string, options: FormatOptions): Writer {
  const variable = logVariable(name);
  if (variable === null) throw new CodedError('ERR_FORMAT', `Cannot compile format: there is no log variable "%${name}"`, {source: 'host'});
  if (variable.kind === 'foreign') return (context) => variable.of(context, options);
  const {of, hex} = variable;
  if (options.hex && hex !== null) return hex;
  if (variable.kind === 'text') {
    const dress = dresser(options);
    return (context) => dress(of(context) ?? '');
  }
  return of;
}

/** Quotes, escapes, and a dash for what is missing. */
function dresser(options: FormatOptions): (text: string) => string {
  const dressed = options.escape ? escaped : (text: string): string => text;
  if (options.quote) return (text) => `"${dressed(text)}"`;
  if (options.dashIfMissing) return (text) => (text === '' ? '-' : dressed(text));
  return dressed;
}
