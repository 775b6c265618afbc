/** Lines of the sections `userlist` and `resolvers`. */
import {isIP} from 'node:net';
import {parseBindAddress} from './address.ts';
import type {Arguments} from './arguments.ts';
import type {Userlist} from './proxy-value.ts';
import {type HoldKind, holdKinds, type NameserverConfig} from './resolvers.ts';
import {choice, type Placed, type Shape} from './shapes.ts';
import {didYouMean} from './suggestion.ts';
import {parseTime} from './units.ts';

export const nameserver: Shape<NameserverConfig> = {
  usage: '<name> [udp@ | tcp@]<address>[:<port>]',
  read(args) {
    const name = args.take('<name>').text;
    const word = args.take('<address>');
    const bare = word.text.replace(/^(?:udp|tcp|ipv)[46]?@/, '');
    const withPort = isIP(bare) === 6 ? word.text.replace(bare, `[${bare}]:53`) : /:\d+$/.test(word.text) ? word.text : `${word.text}:53`;
    const parsed = parseBindAddress(withPort);
    if (!parsed.ok) throw args.invalid(word, parsed.reason);
    const [address] = parsed.value;
    if (address === undefined || isIP(address.host) === 0 || address.socket !== undefined) throw args.invalid(word, 'an address is expected');
    return {name, host: address.host, port: address.port, protocol: address.protocol ?? 'udp'};
  },
};

export const hold: Shape<{readonly kind: HoldKind; readonly ms: number}> = {
  usage: `${holdKinds.join(' | ')} <time>`,
  read(args) {
    const kind = choice(holdKinds).read(args);
    return {kind, ms: args.takeParsed('<time>', parseTime)};
  },
};

type UserEntry = Userlist['users'][number];

export const listUser: Shape<UserEntry & {readonly position: Placed['position']}> = {
  usage: '<name> [password <hash> | insecure-password <text>] [groups <group>[,<group>]...]',
  read(args) {
    const word = args.take('<name>');
    let password: UserEntry['password'] = null;
    let groups: readonly string[] = [];
    while (!args.atEnd) {
      const option = args.take('<option>');
      if (option.text === 'password') password = {kind: 'crypt', text: takeHash(args)};
      else if (option.text === 'insecure-password') password = {kind: 'insecure', text: args.take('<text>').text};
      else if (option.text === 'groups') groups = takeNames(args);
      else
        throw args.invalid(
          option,
          `password, insecure-password and groups are possible${didYouMean(option.text, ['password', 'insecure-password', 'groups'])}`,
        );
    }
    return {name: word.text, password, groups, position: word.position};
  },
};

/** Its message does not repeat the word: it may be the password itself. */
function takeHash(args: Arguments): string {
  const word = args.take('<hash>');
  const isHash = /^\$[0-9a-z]+\$/.test(word.text) || /^[A-Za-z0-9./]{13}$/.test(word.text) || word.text.startsWith('_');
  if (!isHash) throw args.invalid({text: '...', position: word.position}, "a hash of crypt(3) is expected; for a plain one use 'insecure-password'");
  return word.text;
}

function takeNames(args: Arguments): readonly string[] {
  return args
    .take('<name>')
    .text.split(',')
    .filter((name) => name !== '');
}

export const listGroup: Shape<{readonly name: string; readonly users: readonly string[]}> = {
  usage: '<name> [users <user>[,<user>]...]',
  read(args) {
    const name = args.take('<name>').text;
    if (args.atEnd) return {name, users: []};
    const option = args.take('users');
    if (option.text !== 'users') throw args.invalid(option, "'users' is expected");
    return {name, users: takeNames(args)};
  },
};
