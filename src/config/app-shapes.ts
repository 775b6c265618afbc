/** What may follow the keywords of `app` sections. */
import type {Arguments} from './arguments.ts';
import type {Word} from './lex.ts';
import {isName, nameRule} from './names.ts';
import {duration, isStraightPath, type Placed, resolveHostPath, type Shape} from './shapes.ts';
import {parsePort} from './units.ts';
import type {AppConfig, Expose, Volume} from './value.ts';

/** A program and its arguments. */
export const argv: Shape<readonly string[]> = {
  usage: '<program> [<argument>...]',
  read(args) {
    const program = args.take('<program>');
    if (program.text === '') throw args.invalid(program, 'a program is expected');
    return [program.text, ...args.takeRest().map(({text}) => text)];
  },
};

/** `tcp 80 443 udp 53`. */
export const exposedPorts: Shape<readonly (Expose & {readonly position: Placed['position']})[]> = {
  usage: 'tcp | udp <port>...',
  read(args) {
    const ports: (Expose & {position: Placed['position']})[] = [];
    do {
      const word = args.take('tcp or udp');
      if (word.text !== 'tcp' && word.text !== 'udp') throw args.invalid(word, 'tcp or udp is expected, then ports');
      do {
        const {position} = args.peek() ?? args;
        ports.push({protocol: word.text, port: args.takeParsed('<port>', parsePort), position});
      } while (/^\d/.test(args.peek()?.text ?? ''));
    } while (!args.atEnd);
    return ports;
  },
};

/** A share of processors, or several. */
export const processors: Shape<number> = {
  usage: '<number>',
  read(args) {
    const word = args.take('<number>');
    const value = /^\d{1,6}(?:\.\d{1,6})?$/.test(word.text) ? Number(word.text) : Number.NaN;
    if (Number.isNaN(value)) throw args.invalid(word, 'a number such as 2 or 0.5 is expected');
    if (value < 0.01) throw args.invalid(word, 'at least 0.01 is needed');
    return value;
  },
};

export interface Variable {
  readonly name: string;
  readonly value: string;
  readonly position: Placed['position'];
}

/** `NAME VALUE`, or any number of `NAME=VALUE`. */
export const variables: Shape<readonly Variable[]> = {
  usage: '<name> <value> | <name>=<value>...',
  read(args) {
    const first = args.take('<name>');
    if (!first.text.includes('=')) {
      const value = args.take('<value>').text;
      return [variable(args, first, first.text, value)];
    }
    return [first, ...args.takeRest()].map((word) => {
      const equals = word.text.indexOf('=');
      if (equals < 0) throw args.invalid(word, 'NAME=VALUE is expected, a value with blanks needs quotes');
      return variable(args, word, word.text.slice(0, equals), word.text.slice(equals + 1));
    });
  },
};

function variable(args: Arguments, word: Word, name: string, value: string): Variable {
  if (!/^[A-Za-z_][A-Za-z0-9_.-]*$/.test(name)) throw args.invalid(word, `'${name}' is not the name of an environment variable`);
  return {name, value, position: word.position};
}

/** `USER` or `USER:GROUP`, names or numbers. */
export const user: Shape<string> = {
  usage: '<user>[:<group>]',
  read(args) {
    const word = args.take('<user>');
    if (!/^[A-Za-z0-9_][A-Za-z0-9_.-]*\$?(?::[A-Za-z0-9_][A-Za-z0-9_.-]*)?$/.test(word.text)) throw args.invalid(word, 'USER or USER:GROUP is expected');
    if (word.text.split(':').some((part) => /^\d+$/.test(part) && Number(part) >= 2 ** 32 - 1)) throw args.invalid(word, 'the number is too large');
    return word.text;
  },
};

/** An absolute path inside the app. */
export const pathInside: Shape<string> = {
  usage: '<path>',
  read(args) {
    const word = args.take('<path>');
    if (!isStraightPath(word.text)) throw args.invalid(word, 'an absolute path without .. is expected');
    return word.text;
  },
};

/** The name of an image in the object store. */
export const imageName: Shape<string> = {
  usage: '<image>',
  read(args) {
    const word = args.take('<image>');
    if (!isName(word.text) || word.text.startsWith('.')) throw args.invalid(word, `${nameRule}, and does not start with a dot`);
    if (word.text.length > 128) throw args.invalid(word, 'at most 128 characters are possible');
    return word.text;
  },
};

/** `SRC:DST` or `SRC:DST:ro`. */
export const volume: Shape<Volume & {readonly position: Placed['position']}> = {
  usage: '<source>:<destination>[:ro]',
  read(args) {
    const word = args.take('<source>:<destination>');
    const [source = '', destination = '', option, ...rest] = word.text.split(':');
    if (source === '' || destination === '' || rest.length > 0) throw args.invalid(word, 'SOURCE:DESTINATION or SOURCE:DESTINATION:ro is expected');
    if (option !== undefined && option !== 'ro' && option !== 'rw') throw args.invalid(word, `unknown option '${option}', ro and rw are possible`);
    const inside = destination.replace(/\/+$/, '');
    if (!isStraightPath(destination) || inside === '') throw args.invalid(word, 'the destination must be an absolute path without .., below /');
    const {position} = word;
    return {source: resolveHostPath({text: source, position}), destination: inside, readOnly: option === 'ro', position};
  },
};

export const timers: Shape<AppConfig['timers']> = {
  usage: 'on | off | min <time>',
  read(args) {
    const word = args.take('on | off | min');
    switch (word.text) {
      case 'on':
        return {minMs: 0};
      case 'off':
        return null;
      case 'min':
        return {minMs: duration().read(args)};
      default:
        throw args.invalid(word, 'on, off and min with a time are possible');
    }
  },
};
