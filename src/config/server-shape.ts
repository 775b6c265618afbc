/** What may follow `server`, `default-server` and `server-template`. */
import {dirname, resolve} from 'node:path';
import {parseTarget} from './address.ts';
import type {Arguments} from './arguments.ts';
import type {Word} from './lex.ts';
import {isName, nameRule} from './names.ts';
import {readOptions} from './options.ts';
import type {Position} from './position.ts';
import type {Target} from './proxy-value.ts';
import {emptyServer, type ServerDraft} from './server-draft.ts';
import {checkServerOptions, serverOptions} from './server-options.ts';
import type {Placed, Shape} from './shapes.ts';

export interface ServerStatement {
  readonly name: Placed;
  readonly target: Target;
  readonly targetPosition: Position;
  readonly settings: ServerDraft;
}

export const server: Shape<ServerStatement> = {
  usage: '<name> app:<app>:<port> | <address>:<port> | <path> | unix@<path> | abns@<name> [<option>...]',
  read(args) {
    const name = args.take('<name>');
    if (!isName(name.text)) throw args.invalid(name, nameRule);
    return readServer(args, name);
  },
};

function readServer(args: Arguments, name: Word): ServerStatement {
  const word = args.peek() ?? name;
  const target = absolute(args.takeParsed('<address>:<port>', parseTarget), word.position);
  return {name, target, targetPosition: word.position, settings: readSettings(args)};
}

function absolute(target: Target, position: Position): Target {
  return target.kind === 'unix' && !target.abstract ? {...target, path: resolve(dirname(position.file), target.path)} : target;
}

function readSettings(args: Arguments): ServerDraft {
  const settings = readOptions(args, serverOptions, emptyServer());
  checkServerOptions(settings, args);
  return settings;
}

export const defaultServer: Shape<ServerDraft> = {
  usage: '<option>...',
  read(args) {
    if (args.atEnd) args.take('<option>');
    return readSettings(args);
  },
};

const mostServers = 1000;

/** `<prefix> <count | first-last> <address>:<port> [<option>...]`: servers that differ in their names only. */
export const serverTemplate: Shape<readonly ServerStatement[]> = {
  usage: '<prefix> <number> | <first>-<last> <address>:<port> [<option>...]',
  read(args) {
    const prefix = args.take('<prefix>');
    if (!isName(prefix.text)) throw args.invalid(prefix, nameRule);
    const range = args.take('<number>');
    const [, from = '', to] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(range.text) ?? [];
    if (from === '') throw args.invalid(range, 'a number or a range such as 1-3 is expected');
    const [low, high] = to === undefined ? [1, Number(from)] : [Number(from), Number(to)];
    if (high < low || high - low >= mostServers) throw args.invalid(range, `1 to ${mostServers} servers are possible`);
    const first = readServer(args, prefix);
    return Array.from({length: high - low + 1}, (_, index) => ({...first, name: {text: `${prefix.text}${low + index}`, position: prefix.position}}));
  },
};
