/** `balance`, `hash-type` and `cookie`: which server a client gets, and how it comes back to it. */
import {ConfigError} from './arguments.ts';
import {readExpressionWord} from './expression/sample-expression.ts';
import {flag, type OptionTable, readOptions} from './options.ts';
import type {BackendConfig, Balance, CookiePersistence} from './proxy-value.ts';
import {choice, type Shape} from './shapes.ts';
import {didYouMean} from './suggestion.ts';
import {parseInteger, parseTime} from './units.ts';

const plain = ['roundrobin', 'static-rr', 'leastconn', 'first', 'source'] as const;
const names = [...plain, 'random', 'uri', 'url_param <name> [check_post]', 'hdr(<name>)', 'hash <sample>'];

export const balance: Shape<Balance> = {
  usage: names.join(' | '),
  read(args) {
    const word = args.take('<algorithm>');
    const simple = plain.find((kind) => kind === word.text);
    if (simple !== undefined) return {kind: simple};
    const [, name = word.text, argument] = /^([a-z_-]+)\((.*)\)$/s.exec(word.text) ?? [];
    switch (name) {
      case 'random': {
        const draws = argument === undefined ? {ok: true as const, value: 2} : parseInteger(argument, {min: 1, max: 1000});
        if (!draws.ok) throw args.invalid(word, draws.reason);
        return {kind: 'random', draws: draws.value};
      }
      case 'uri':
        return readOptions(args, uriOptions, {kind: 'uri', length: null, depth: null, whole: false, pathOnly: false});
      case 'url_param': {
        const parameter = args.take('<parameter>').text;
        // HAProxy looks into the body of every POST since 2.1, and accepts the word that had been needed for it.
        if (args.peek()?.text === 'check_post') args.take('check_post');
        return {kind: 'url_param', parameter};
      }
      case 'hdr': {
        if (argument === undefined || argument === '') throw args.invalid(word, "the name of a header is expected: 'hdr(<name>)'");
        const useDomainOnly = args.peek()?.text === 'use_domain_only';
        if (useDomainOnly) args.take('use_domain_only');
        return {kind: 'hdr', header: argument, useDomainOnly};
      }
      case 'hash':
        return {kind: 'hash', expression: readExpressionWord(args.take('<sample>'), args.scope).expression};
      case 'rdp-cookie':
        throw new ConfigError("'balance rdp-cookie' is not implemented yet", word.position, word.text);
      default:
        throw args.invalid(word, `${names.join(', ')} are possible${didYouMean(word.text, names)}`);
    }
  },
};

type UriDraft = {-readonly [Key in keyof Extract<Balance, {readonly kind: 'uri'}>]: Extract<Balance, {readonly kind: 'uri'}>[Key]};

const uriOptions: OptionTable<UriDraft> = {
  known: {
    len: {
      apply: (draft, args) => {
        draft.length = args.takeParsed('<number>', (text) => parseInteger(text, {min: 1, max: 65_535}));
      },
    },
    depth: {
      apply: (draft, args) => {
        draft.depth = args.takeParsed('<number>', (text) => parseInteger(text, {min: 1, max: 65_535}));
      },
    },
    whole: flag((draft) => {
      draft.whole = true;
    }),
    'path-only': flag((draft) => {
      draft.pathOnly = true;
    }),
  },
  ignored: new Map(),
  later: new Set(),
};

export const hashType: Shape<BackendConfig['hash']> = {
  usage: 'map-based | consistent [sdbm | djb2 | wt6 | crc32 [avalanche]]',
  read(args) {
    const kind = choice(['map-based', 'consistent']).read(args);
    // A consistent hash needs its bits mixed, HAProxy does so unless told otherwise.
    if (args.atEnd) return {kind, function: 'sdbm', avalanche: kind === 'consistent'};
    const hash = args.peek()?.text === 'avalanche' ? 'sdbm' : choice(['sdbm', 'djb2', 'wt6', 'crc32'], ['none']).read(args);
    const avalanche = args.peek() !== undefined;
    if (avalanche) choice(['avalanche']).read(args);
    return {kind, function: hash, avalanche};
  },
};

type CookieDraft = {-readonly [Key in keyof CookiePersistence]: CookiePersistence[Key]} & {
  readonly domains: string[];
  readonly attributes: string[];
  ways: number;
};

const cookieOptions: OptionTable<CookieDraft> = {
  known: {
    ...Object.fromEntries(
      (['rewrite', 'insert', 'prefix'] as const).map((how) => [
        how,
        flag<CookieDraft>((draft) => {
          draft.how = how;
          draft.ways++;
        }),
      ]),
    ),
    indirect: flag((draft) => {
      draft.indirect = true;
    }),
    nocache: flag((draft) => {
      draft.noCache = true;
    }),
    postonly: flag((draft) => {
      draft.postOnly = true;
    }),
    preserve: flag((draft) => {
      draft.preserve = true;
    }),
    httponly: flag((draft) => {
      draft.httpOnly = true;
    }),
    secure: flag((draft) => {
      draft.secure = true;
    }),
    dynamic: flag((draft) => {
      draft.dynamic = true;
    }),
    domain: {apply: (draft, args) => void draft.domains.push(args.take('<domain>').text)},
    attr: {apply: (draft, args) => void draft.attributes.push(args.take('<attribute>').text)},
    maxidle: {
      apply: (draft, args) => {
        draft.maxIdleMs = args.takeParsed('<time>', (text) => parseTime(/^\d+$/.test(text) ? `${text}s` : text));
      },
    },
    maxlife: {
      apply: (draft, args) => {
        draft.maxLifeMs = args.takeParsed('<time>', (text) => parseTime(/^\d+$/.test(text) ? `${text}s` : text));
      },
    },
  },
  ignored: new Map(),
  later: new Set(),
};

export const cookie: Shape<CookiePersistence> = {
  usage:
    '<name> [rewrite | insert | prefix] [indirect] [nocache] [postonly] [preserve] [httponly] [secure] [dynamic] [domain <domain>] [maxidle <time>] [maxlife <time>] [attr <text>]',
  read(args) {
    const word = args.take('<name>');
    if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(word.text)) throw args.invalid(word, 'this cannot be the name of a cookie');
    const draft = readOptions(args, cookieOptions, bareCookie(word.text));
    if (draft.ways > 1) throw args.invalid(word, 'only one of rewrite, insert and prefix is possible');
    if (draft.how === 'rewrite' && draft.indirect) throw args.invalid(word, "'indirect' needs 'insert' or 'prefix'");
    if (draft.preserve && draft.how === 'rewrite') throw args.invalid(word, "'preserve' needs 'insert' or 'prefix'");
    const {ways: _ways, ...value} = draft;
    return value;
  },
};

function bareCookie(name: string): CookieDraft {
  return {
    name,
    how: 'rewrite',
    indirect: false,
    noCache: false,
    postOnly: false,
    preserve: false,
    httpOnly: false,
    secure: false,
    domains: [],
    maxIdleMs: null,
    maxLifeMs: null,
    dynamic: false,
    attributes: [],
    ways: 0,
  };
}
