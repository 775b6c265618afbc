/** Lines of the statistics page, and the sockets of the runtime API. */
import {dirname, resolve} from 'node:path';
import {type Arguments, ConfigError} from './arguments.ts';
import {bindOptions, emptyBindOptions, readAddresses} from './bind-shape.ts';
import {readCondition} from './expression/condition.ts';
import {readOptions} from './options.ts';
import type {StatsSocket} from './process-value.ts';
import type {StatsPage} from './proxy-value.ts';
import type {Rule, StatsAction} from './rules.ts';
import type {Condition} from './sample.ts';
import {choice, type Shape} from './shapes.ts';
import {parseTime} from './units.ts';

export const statsAuth: Shape<StatsPage['users'][number]> = {
  usage: '<user>:<password>',
  read(args) {
    const word = args.take('<user>:<password>');
    const colon = word.text.indexOf(':');
    if (colon < 1) throw args.invalid({text: '...', position: word.position}, 'USER:PASSWORD is expected');
    return {name: word.text.slice(0, colon), password: word.text.slice(colon + 1)};
  },
};

export const statsRule: Shape<Rule<StatsAction>> = {
  usage: 'allow | deny | auth [realm <realm>] [if | unless <condition>]',
  read(args) {
    const kind = choice(['allow', 'deny', 'auth']).read(args);
    const action: StatsAction = kind === 'auth' ? {kind, realm: takeRealm(args)} : {kind};
    return {action, condition: readCondition(args), position: args.position};
  },
};

function takeRealm(args: Arguments): string | null {
  if (args.peek()?.text !== 'realm') return null;
  args.take('realm');
  return args.take('<realm>').text;
}

/** In seconds, as browsers are told. */
export const statsRefresh: Shape<number> = {
  usage: '<time>',
  read: (args) => Math.ceil(args.takeParsed('<time>', (text) => parseTime(/^\d+$/.test(text) ? `${text}s` : text)) / 1000),
};

/** A condition that must be there. */
export const requiredCondition: Shape<Condition> = {
  usage: 'if | unless <condition>',
  read(args) {
    const condition = readCondition(args);
    if (condition === null) throw new ConfigError(`missing argument for '${args.keyword}': if or unless is expected`, args.position, args.keyword);
    return condition;
  },
};

export const statsSocket: Shape<StatsSocket> = {
  usage:
    '<path> | [ipv4@|ipv6@]<address>:<port> | abns@<name> | fd@<number> [mode <octal>] [user <user>] [group <group>] [level user | operator | admin] [expose-fd listeners] [name <name>]',
  read(args) {
    const word = args.take('<path>');
    const relative = !/[@:]/.test(word.text) && !word.text.startsWith('/');
    const address = relative ? {...word, text: resolve(dirname(word.position.file), word.text)} : word;
    const [first, another] = readAddresses(args, address);
    if (first === undefined || another !== undefined) throw args.invalid(word, 'one address is expected');
    const options = readOptions(args, bindOptions, emptyBindOptions());
    return {
      address: socketAddress(first),
      level: options.level ?? 'operator',
      mode: options.mode,
      user: options.user,
      group: options.group,
      exposeListeners: options.exposeFd,
      name: options.name,
    };
  },
};

function socketAddress({host, port, socket}: ReturnType<typeof readAddresses>[number]): StatsSocket['address'] {
  if (socket === undefined) return {kind: 'tcp', host, port};
  return socket.kind === 'unix' ? {kind: 'unix', path: socket.path, abstract: socket.abstract} : {kind: 'fd', fd: socket.fd};
}
