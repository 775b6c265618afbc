/** The options of `server` and `default-server`. */
import {isIP} from 'node:net';
import {type Arguments, ConfigError} from './arguments.ts';
import {readExpressionWord} from './expression/sample-expression.ts';
import {flag, type OptionSpec, type OptionTable, words} from './options.ts';
import {refer} from './scope.ts';
import {checkOptions} from './server-check-options.ts';
import type {ServerDraft} from './server-draft.ts';
import {choice} from './shapes.ts';
import {readSource} from './source-shape.ts';
import {certificate, commonTlsOptions, serverVerify} from './tls-options.ts';
import {parseInteger, parseTime, type Range} from './units.ts';

type NumberKey = 'maxqueue' | 'maxconn' | 'minconn' | 'weight';

/** HAProxy says 0 where there is no limit. */
function number(key: NumberKey, range: Range, options: {zeroIsNone: boolean} = {zeroIsNone: false}): OptionSpec<ServerDraft> {
  return {
    usage: '<number>',
    apply: (draft, args) => {
      const value = args.takeParsed('<number>', (text) => parseInteger(text, range));
      if (key === 'weight') draft.weight = value;
      else draft[key] = options.zeroIsNone && value === 0 ? null : value;
    },
  };
}

function sendProxy(version: 'v1' | 'v2' | null, more: readonly string[] = []): OptionSpec<ServerDraft> {
  return flag((draft) => {
    draft.sendProxy = version;
    draft.proxyV2Options = [...new Set([...(draft.proxyV2Options ?? []), ...more])];
  });
}

const v2Options = ['ssl', 'cert-cn', 'ssl-cipher', 'cert-sig', 'cert-key', 'authority', 'crc32c', 'unique-id'] as const;

const identity: Readonly<Record<string, OptionSpec<ServerDraft>>> = {
  backup: flag((draft) => {
    draft.backup = true;
  }),
  'no-backup': flag((draft) => {
    draft.backup = false;
  }),
  disabled: flag((draft) => {
    draft.disabled = true;
  }),
  enabled: flag((draft) => {
    draft.disabled = false;
  }),
  'no-disabled': flag((draft) => {
    draft.disabled = false;
  }),
  cookie: {
    usage: '<value>',
    apply: (draft, args) => {
      draft.cookie = args.take('<value>').text;
    },
  },
  weight: number('weight', {min: 0, max: 256}),
  maxconn: number('maxconn', {min: 0, max: 2 ** 31 - 1}, {zeroIsNone: true}),
  minconn: number('minconn', {min: 0, max: 2 ** 31 - 1}, {zeroIsNone: true}),
  maxqueue: number('maxqueue', {min: 0, max: 1_000_000}, {zeroIsNone: true}),
  slowstart: {
    usage: '<time>',
    apply: (draft, args) => {
      draft.slowStartMs = args.takeParsed('<time>', parseTime);
    },
  },
  redir: {
    usage: '<prefix>',
    apply: (draft, args) => {
      draft.redirectPrefix = args.take('<prefix>').text;
    },
  },
  'non-stick': flag((draft) => {
    draft.nonStick = true;
  }),
  stick: flag((draft) => {
    draft.nonStick = false;
  }),
};

const connecting: Readonly<Record<string, OptionSpec<ServerDraft>>> = {
  'send-proxy': sendProxy('v1'),
  'send-proxy-v2': sendProxy('v2'),
  'send-proxy-v2-ssl': sendProxy('v2', ['ssl']),
  'send-proxy-v2-ssl-cn': sendProxy('v2', ['ssl', 'cert-cn']),
  'no-send-proxy': sendProxy(null),
  'no-send-proxy-v2': sendProxy(null),
  'no-send-proxy-v2-ssl': sendProxy(null),
  'no-send-proxy-v2-ssl-cn': sendProxy(null),
  'proxy-v2-options': {
    usage: '<option>[,<option>]...',
    apply: (draft, args) => {
      const word = args.take('<option>');
      const chosen = word.text.split(',');
      const unknown = chosen.find((name) => !v2Options.some((known) => known === name));
      if (unknown !== undefined) throw args.invalid(word, `unknown option '${unknown}', ${v2Options.join(', ')} are possible`);
      draft.proxyV2Options = [...new Set([...(draft.proxyV2Options ?? []), ...chosen])];
    },
  },
  proto: {
    usage: 'h1 | h2',
    apply: (draft, args) => {
      draft.proto = choice(['h1', 'h2']).read(args);
    },
  },
  source: {
    usage: '<address>[:<port>] [usesrc client]',
    apply: (draft, args) => {
      draft.source = readSource(args);
    },
  },
  resolvers: {
    usage: '<resolvers>',
    apply: (draft, args) => {
      const word = args.take('<resolvers>');
      refer(args.scope, 'resolvers', word);
      draft.resolvers = word.text;
    },
  },
  'resolve-prefer': {
    usage: 'ipv4 | ipv6',
    apply: (draft, args) => {
      draft.resolvePrefer = choice(['ipv4', 'ipv6']).read(args);
    },
  },
  'init-addr': {
    usage: '<method>[,<method>]...',
    apply: (draft, args) => {
      const word = args.take('<method>');
      const methods = word.text.split(',');
      const unknown = methods.find((method) => !['last', 'libc', 'none'].includes(method) && isIP(method) === 0);
      if (unknown !== undefined) throw args.invalid(word, `unknown method '${unknown}'; last, libc, none and addresses are possible`);
      draft.lookUp = !methods.includes('none');
      // What is tried after the system is not: it finds an address, or does so later.
      draft.keepsAddress = methods[0] === 'last';
      const [first = 'libc'] = methods.filter((method) => method !== 'last');
      draft.initialAddress = first === 'libc' || first === 'none' ? first : {host: first};
    },
  },
};

const tls: Readonly<Record<string, OptionSpec<ServerDraft>>> = {
  ...commonTlsOptions,
  ssl: flag((draft) => {
    draft.ssl = true;
  }),
  'no-ssl': flag((draft) => {
    draft.ssl = false;
  }),
  verify: serverVerify,
  verifyhost: {
    usage: '<name>',
    apply: (draft, args) => {
      draft.verifyHost = args.take('<name>').text;
    },
  },
  'no-verifyhost': flag((draft) => {
    draft.verifyHost = null;
  }),
  crt: {
    usage: '<file>',
    apply: (draft, args) => {
      draft.certificate = certificate(args.take('<file>'), args.scope).path;
    },
  },
  sni: {
    usage: '<sample>',
    apply: (draft, args) => {
      draft.sni = readExpressionWord(args.take('<sample>'), args.scope).expression;
    },
  },
};

export const serverOptions: OptionTable<ServerDraft> = {
  known: {...identity, ...checkOptions, ...connecting, ...tls},
  ignored: new Map([
    ['tfo', 0],
    ['no-tfo', 0],
    ['pool-max-conn', 1],
    ['pool-purge-delay', 1],
    ['pool-low-conn', 1],
    ['max-reuse', 1],
    ['tcp-ut', 1],
    ['resolve-opts', 1],
    ['resolve-net', 1],
    ['id', 1],
    ['log-bufsize', 1],
    ['ssl-reuse', 0],
    ['no-ssl-reuse', 0],
    ['npn', 1],
    ['curves', 1],
  ]),
  later: new Set(
    words(`cc check-pool-conn-name check-reuse-pool
      check-via-socks4 client-sigalgs force-sslv3 guid hash-key idle-ping init-state interface log-proto namespace no-check-reuse-pool
      pool-conn-name renegotiate set-proxy-v2-tlv-fmt shard sigalgs sni-auto socks4 strict-maxconn tcp-md5sig usesrc ws`),
  ),
};

/** @throws ConfigError when an option cannot go with the others */
export function checkServerOptions(draft: ServerDraft, args: Arguments): void {
  if (draft.check === true && draft.track !== undefined) {
    throw new ConfigError("'track' and 'check' cannot go together", args.position, args.keyword);
  }
}
