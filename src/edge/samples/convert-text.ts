/** Converters on texts: HAProxy's manual, section 7.3.1. */

import {compileRegex} from '../../config/expression/regex.ts';
import type {SampleCall} from '../../config/sample.ts';
import {badCall, type Converter, type ConverterBuilder, integerArgument, neededArgument, simple, textArgument} from './fetch.ts';
import {jsonText} from './json-text.ts';
import {lowerCase} from './patterns.ts';
import {type Found, intValue, textValue, toBoolean, toText} from './value.ts';
import {checkVariableName} from './variables.ts';

function onText(convert: (text: string) => string | null): ConverterBuilder {
  return simple((value) => {
    const text = convert(toText(value));
    return text === null ? null : textValue(text);
  });
}

interface Piece {
  readonly start: number;
  readonly end: number;
}

function piecesOf(text: string, delimiters: string): Piece[] {
  const pieces: Piece[] = [];
  let start = 0;
  for (let at = 0; at <= text.length; at++) {
    if (at < text.length && !delimiters.includes(text.charAt(at))) continue;
    pieces.push({start, end: at});
    start = at + 1;
  }
  return pieces;
}

/**
 * `field` and `word`; words are never empty. A negative index counts from the end, and so does the number of pieces that are taken. Where there are
 * fewer, all of the text on that side is taken, with the delimiters at its edge.
 */
function pick(words: boolean): ConverterBuilder {
  return (call) => {
    const index = integerArgument(call, 0, null);
    const delimiters = neededArgument(call, 1, 'delimiters');
    const count = integerArgument(call, 2, 1);
    if (index === 0) throw badCall(call, 'its index counts from 1, or from -1 backwards');
    if (count < 0) throw badCall(call, 'its count is below zero');
    return (value) => {
      const text = toText(value);
      const all = piecesOf(text, delimiters);
      const pieces = words ? all.filter((piece) => piece.end > piece.start) : all;
      const near = pieces[index > 0 ? index - 1 : pieces.length + index];
      if (near === undefined) return null;
      const far = count === 0 ? undefined : pieces[index > 0 ? index + count - 2 : pieces.length + index - count + 1];
      return textValue(index > 0 ? text.slice(near.start, far?.end) : text.slice(far?.start ?? 0, near.end));
    };
  };
}

/** `\1` in a replacement is a group of the match, `\0` all of it. */
export function expandReferences(template: string, match: RegExpExecArray): string {
  return template.replace(/\\(?:([0-9])|x([0-9A-Fa-f]{2})|(.))/gs, (_, group: string | undefined, hex: string | undefined, other: string | undefined) => {
    if (group !== undefined) return match[Number(group)] ?? '';
    return hex === undefined ? (other ?? '') : String.fromCharCode(Number.parseInt(hex, 16));
  });
}

const regsub: ConverterBuilder = (call) => {
  const flags = textArgument(call, 2);
  if (/[^gi]/.test(flags)) throw badCall(call, `flags "${flags}" are others than g and i`);
  const regex = compileRegex(neededArgument(call, 0, 'a regular expression'), flags.includes('i') ? 'gi' : 'g');
  const template = textArgument(call, 1);
  return (value) => {
    const text = toText(value);
    regex.lastIndex = 0;
    let out = '';
    let from = 0;
    for (let match = regex.exec(text); match !== null; match = regex.exec(text)) {
      out += text.slice(from, match.index) + expandReferences(template, match);
      from = match.index + match[0].length;
      // An empty match goes on after the next character, which is kept.
      if (match[0] === '') regex.lastIndex++;
      if (!flags.includes('g')) break;
    }
    return textValue(out + text.slice(from));
  };
};

function optionalVariable(call: SampleCall, index: number): string | null {
  const name = textArgument(call, index);
  return name === '' ? null : checkVariableName(name);
}

/** `concat(start,variable,end)` */
const concat: ConverterBuilder = (call) => {
  const [start, name, end] = [textArgument(call, 0), optionalVariable(call, 1), textArgument(call, 2)];
  return (value, context) => {
    const found = name === null ? null : context.variables.get(name);
    return textValue(toText(value) + start + (found === null ? '' : toText(found)) + end);
  };
};

/** `add_item(delimiter,variable,suffix)`: the delimiter only between things. */
const addItem: ConverterBuilder = (call) => {
  const [delimiter, name, suffix] = [textArgument(call, 0), optionalVariable(call, 1), textArgument(call, 2)];
  if (name === null && suffix === '') throw badCall(call, 'it needs a variable or a suffix');
  return (value, context) => {
    const found = name === null ? null : context.variables.get(name);
    const item = found === null ? '' : toText(found);
    const added = item + suffix;
    const text = toText(value);
    return textValue(text !== '' && added !== '' ? text + delimiter + added : text + added);
  };
};

function trim(atStart: boolean): ConverterBuilder {
  return (call) => {
    const characters = neededArgument(call, 0, 'characters');
    return (value) => {
      const text = toText(value);
      let [start, end] = [0, text.length];
      while (atStart && start < end && characters.includes(text.charAt(start))) start++;
      while (!atStart && end > start && characters.includes(text.charAt(end - 1))) end--;
      return textValue(text.slice(start, end));
    };
  };
}

/** `name`, `name:80`, `[::1]:80`: where the port's colon is, or the length of the text. */
function portColon(text: string): number {
  const found = /:[0-9]*$/.exec(text);
  return found === null || (text.startsWith('[') && !text.slice(0, found.index).endsWith(']')) ? text.length : found.index;
}

const iif: ConverterBuilder = (call): Converter => {
  const [whenTrue, whenFalse] = [textValue(textArgument(call, 0)), textValue(textArgument(call, 1))];
  return (value) => {
    const condition = toBoolean(value);
    return condition === null ? null : condition ? whenTrue : whenFalse;
  };
};

/** As strncmp(3) of the C library: the difference of the first bytes that differ; a text that goes on is the greater one. */
function compareBytes(left: string, right: string): number {
  const shared = Math.min(left.length, right.length);
  for (let at = 0; at < shared; at++) {
    const difference = left.charCodeAt(at) - right.charCodeAt(at);
    if (difference !== 0) return difference;
  }
  return Math.sign(left.length - right.length);
}

const strcmp: ConverterBuilder = (call) => {
  const name = checkVariableName(neededArgument(call, 0, 'the name of a variable'));
  return (value, context) => {
    const other = context.variables.get(name);
    if (other === null) return null;
    return intValue(compareBytes(toText(value), toText(other)));
  };
};

const json: ConverterBuilder = (call) => {
  const convert = jsonText(textArgument(call, 0) || 'ascii');
  if (convert === null) throw badCall(call, `"${textArgument(call, 0)}" is none of ascii, utf8, utf8s, utf8p, utf8ps`);
  return (value: Found) => {
    const text = convert(toText(value));
    return text === null ? null : textValue(text);
  };
};

export const textConverters: Readonly<Record<string, ConverterBuilder>> = {
  lower: onText(lowerCase),
  upper: onText((text) => text.replace(/[a-z]+/g, (letters) => letters.toUpperCase())),
  field: pick(false),
  word: pick(true),
  regsub,
  concat,
  add_item: addItem,
  ltrim: trim(true),
  rtrim: trim(false),
  cut_crlf: onText((text) => /^[^\r\n]*/.exec(text)?.[0] ?? ''),
  length: simple((value) => intValue(toText(value).length)),
  host_only: onText((text) => lowerCase(text.slice(0, portColon(text)))),
  port_only: simple((value) => {
    const text = toText(value);
    return intValue(Number(text.slice(portColon(text) + 1)));
  }),
  iif,
  strcmp,
  json,
};
