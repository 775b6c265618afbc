/** What may follow `bind`, `server` and `default-server`. */
import {type BindAddress, parseBindAddress, parseTarget} from './address.ts';
import type {Arguments} from './arguments.ts';
import {ConfigError} from './arguments.ts';
import {bindOptions, type KnownOptions, serverOptions} from './known-options.ts';
import {isName, nameRule} from './names.ts';
import type {Target} from './proxy-value.ts';
import type {Placed, Shape} from './shapes.ts';
import {didYouMean} from './suggestion.ts';
import {parseInteger} from './units.ts';

export type PlacedBind = BindAddress & {readonly position: Placed['position']};

/** Addresses with commas between them, ranges of ports. */
export const bindAddresses: Shape<readonly PlacedBind[]> = {
  usage: '[udp@|tcp@]<address>:<port>[-<port>][,...]',
  read(args) {
    const word = args.take('<address>:<port>');
    let column = word.position.column;
    const addresses = word.text.split(',').flatMap((text) => {
      const position = {...word.position, column};
      column += text.length + 1;
      const parsed = parseBindAddress(text);
      if (!parsed.ok) throw args.invalid({text, position}, parsed.reason);
      return parsed.value.map((address) => ({...address, position}));
    });
    readOptions(args, bindOptions, {});
    return addresses;
  },
};

export interface ServerSettings {
  readonly maxqueue?: number;
}

export interface ServerStatement {
  readonly name: Placed;
  readonly target: Target;
  readonly targetPosition: Placed['position'];
  readonly settings: ServerSettings;
}

export const server: Shape<ServerStatement> = {
  usage: '<name> app:<app>:<port> | <address>:<port> [<option>...]',
  read(args) {
    const name = args.take('<name>');
    if (!isName(name.text)) throw args.invalid(name, nameRule);
    const {position} = args.peek() ?? name;
    const target = args.takeParsed('<address>:<port>', parseTarget);
    return {name, target, targetPosition: position, settings: readServerSettings(args)};
  },
};

export const defaultServer: Shape<ServerSettings> = {
  usage: '<option>...',
  read(args) {
    if (args.atEnd) args.take('<option>');
    return readServerSettings(args);
  },
};

function readServerSettings(args: Arguments): ServerSettings {
  let settings: ServerSettings = {};
  readOptions(args, serverOptions, {
    maxqueue: (option) => {
      settings = {...settings, maxqueue: option.takeParsed('<number>', (text) => parseInteger(text, {min: 1, max: 1_000_000}))};
    },
  });
  return settings;
}

/** Reads `option [value]...` to the end of the line. */
function readOptions(args: Arguments, known: KnownOptions, implemented: Readonly<Record<string, (args: Arguments) => void>>): void {
  while (!args.atEnd) {
    const word = args.take('<option>');
    const apply = Object.hasOwn(implemented, word.text) ? implemented[word.text] : undefined;
    const ignoredValues = known.ignored.get(word.text);
    if (apply !== undefined) {
      apply(args);
    } else if (ignoredValues !== undefined) {
      for (let count = 0; count < ignoredValues; count++) args.take(`the value of '${word.text}'`);
      args.warn(word, `'${word.text}' of '${args.keyword}' has no effect here`);
    } else if (known.later.has(word.text)) {
      throw new ConfigError(`'${word.text}' of '${args.keyword}' is not implemented yet`, word.position, word.text);
    } else {
      const names = [...Object.keys(implemented), ...known.ignored.keys(), ...known.later];
      throw new ConfigError(`unknown option '${word.text}' of '${args.keyword}'${didYouMean(word.text, names)}`, word.position, word.text);
    }
  }
}
