/** What may follow `bind`. */
import {type BindAddress, parseBindAddress} from './address.ts';
import type {Arguments} from './arguments.ts';
import type {Word} from './lex.ts';
import {isName, nameRule} from './names.ts';
import {flag, type OptionSpec, type OptionTable, readOptions, words} from './options.ts';
import type {Position} from './position.ts';
import {choice, type Shape} from './shapes.ts';
import type {CertificateSource} from './tls.ts';
import {bindVerify, certificate, certificateList, commonTlsOptions, emptyTls, type TlsDraft, ticketKeys} from './tls-options.ts';
import {parseInteger, type Range} from './units.ts';

export type PlacedBind = BindAddress & {readonly position: Position};

/** The options of a line, before the defaults of `global` are there. */
export interface BindOptions {
  name: string | null;
  acceptProxy: boolean;
  ssl: boolean;
  readonly certificates: CertificateSource[];
  readonly tls: TlsDraft;
  proto: 'h1' | 'h2' | null;
  v6only: boolean | null;
  transparent: boolean;
  interface: string | null;
  maxconn: number | null;
  backlog: number | null;
  /** Of the file of a unix socket. */
  mode: number | null;
  user: string | null;
  group: string | null;
  level: 'user' | 'operator' | 'admin' | null;
  exposeFd: boolean;
}

export interface BindStatement {
  readonly addresses: readonly PlacedBind[];
  readonly options: BindOptions;
}

/** An option whose value is a whole number. */
function number(key: 'maxconn' | 'backlog', range: Range): OptionSpec<BindOptions> {
  return {
    usage: '<number>',
    apply: (draft, args) => {
      draft[key] = args.takeParsed('<number>', (text) => parseInteger(text, range));
    },
  };
}

function word(key: 'interface' | 'user' | 'group'): OptionSpec<BindOptions> {
  return {
    usage: `<${key}>`,
    apply: (draft, args) => {
      draft[key] = args.take(`<${key}>`).text;
    },
  };
}

export const bindOptions: OptionTable<BindOptions> = {
  known: {
    ...commonTlsOptions,
    verify: bindVerify,
    ssl: flag((draft) => {
      draft.ssl = true;
    }),
    crt: {
      usage: '<file>',
      apply: (draft, args) => void draft.certificates.push(certificate(args.take('<file>'), args.scope)),
    },
    'crt-list': {
      usage: '<file>',
      apply: (draft, args) => void draft.certificates.push(...certificateList(args.take('<file>'), args)),
    },
    'strict-sni': flag((draft) => {
      draft.tls.strictSni = true;
    }),
    'tls-ticket-keys': ticketKeys,
    'accept-proxy': flag((draft) => {
      draft.acceptProxy = true;
    }),
    name: {
      usage: '<name>',
      apply: (draft, args) => {
        const found = args.take('<name>');
        if (!isName(found.text)) throw args.invalid(found, nameRule);
        draft.name = found.text;
      },
    },
    proto: {
      usage: 'h1 | h2',
      apply: (draft, args) => {
        draft.proto = choice(['h1', 'h2']).read(args);
      },
    },
    v4v6: flag((draft) => {
      draft.v6only = false;
    }),
    v6only: flag((draft) => {
      draft.v6only = true;
    }),
    transparent: flag((draft) => {
      draft.transparent = true;
    }),
    interface: word('interface'),
    maxconn: number('maxconn', {min: 1, max: 2 ** 31 - 1}),
    backlog: number('backlog', {min: 1, max: 2 ** 31 - 1}),
    mode: {
      usage: '<octal>',
      apply: (draft, args) => {
        draft.mode = takeFileMode(args);
      },
    },
    user: word('user'),
    uid: {usage: '<number>', apply: word('user').apply},
    group: word('group'),
    gid: {usage: '<number>', apply: word('group').apply},
    level: {
      usage: 'user | operator | admin',
      apply: (draft, args) => {
        draft.level = choice(['user', 'operator', 'admin']).read(args);
      },
    },
    'expose-fd': {
      usage: 'listeners',
      apply: (draft, args) => {
        choice(['listeners']).read(args);
        draft.exposeFd = true;
      },
    },
  },
  ignored: new Map([
    ['tfo', 0],
    ['defer-accept', 0],
    ['process', 1],
    ['thread', 1],
    ['shards', 1],
    ['nice', 1],
    ['prefer-client-ciphers', 0],
    ['ecdhe', 1],
    ['curves', 1],
    ['tcp-ut', 1],
    ['mss', 1],
    ['npn', 1],
    ['allow-0rtt', 0],
    ['id', 1],
    ['ca-ignore-err', 1],
    ['crt-ignore-err', 1],
    ['no-ca-names', 0],
    ['severity-output', 1],
  ]),
  later: new Set(
    words(`accept-netscaler-cip ca-sign-file ca-sign-pass ca-verify-file cc client-sigalgs default-crt force-sslv3 generate-certificates guid-prefix
      idle-ping ktls label namespace nbconn no-strict-sni ocsp-update quic-cc-algo quic-force-retry quic-socket sigalgs tcp-md5sig`),
  ),
};

/** Permission bits of a unix socket. */
export function takeFileMode(args: Arguments): number {
  const found = args.take('<octal>');
  if (!/^0?[0-7]{3}$/.test(found.text)) throw args.invalid(found, 'permission bits such as 660 are expected');
  return Number.parseInt(found.text, 8);
}

export function emptyBindOptions(): BindOptions {
  return {
    name: null,
    acceptProxy: false,
    ssl: false,
    certificates: [],
    tls: emptyTls(),
    proto: null,
    v6only: null,
    transparent: false,
    interface: null,
    maxconn: null,
    backlog: null,
    mode: null,
    user: null,
    group: null,
    level: null,
    exposeFd: false,
  };
}

/** Addresses with commas between them, ranges of ports, unix sockets, inherited descriptors. */
export const bind: Shape<BindStatement> = {
  usage: '[udp@|tcp@]<address>:<port>[-<port>][,...] | <path> | unix@<path> | abns@<name> | fd@<number> [<option>...]',
  read(args) {
    const addresses = readAddresses(args, args.take('<address>:<port>'));
    const options = readOptions(args, bindOptions, emptyBindOptions());
    return {addresses, options};
  },
};

/** @throws ConfigError */
export function readAddresses(args: Arguments, found: Word): readonly PlacedBind[] {
  let column = found.position.column;
  return found.text.split(',').flatMap((text) => {
    const position = {...found.position, column};
    column += text.length + 1;
    const parsed = parseBindAddress(text);
    if (!parsed.ok) throw args.invalid({text, position}, parsed.reason);
    return parsed.value.map((address) => ({...address, position}));
  });
}
