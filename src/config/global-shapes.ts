/** What may follow the keywords of `global` that are not plain numbers and times. */
import {isIPv4} from 'node:net';
import {logLevels} from '../core/log-levels.ts';
import {readRedisUrl} from '../core/redis-url.ts';
import {choice, resolveHostPath, type Shape} from './shapes.ts';
import type {GlobalConfig, KeySource} from './value.ts';

/** See core/redis-url.ts. Its messages do not repeat the URL: it may hold a password. */
export const redisUrl: Shape<GlobalConfig['redis']> = {
  usage: 'unix:<path> | redis://<host>[:<port>][/<database>] | rediss://... | sentinel:<host>[:<port>],.../<master>[/<database>] | cluster:<host>[:<port>],...',
  read(args) {
    const {text, position} = args.take('<url>');
    const refuse = (reason: string) => args.invalid({text: text.replace(/:.*$/s, ':...'), position}, reason);
    if (text.startsWith('unix:')) {
      const path = text.slice('unix:'.length);
      if (path === '') throw refuse('a path is expected');
      return {kind: 'url', url: `unix:${resolveHostPath({text: path.replace(/^\/\/(?=\/)/, ''), position})}`};
    }
    const address = readRedisUrl(text);
    if (address.kind === 'invalid') throw refuse(address.reason);
    return {kind: 'url', url: text};
  },
};

/** Of the gateway itself. */
export const gatewayLog: Shape<GlobalConfig['gatewayLog']> = {
  usage: 'json | text [level debug | info | warn | error | silent]',
  read(args) {
    const form = choice(['json', 'text']).read(args);
    if (args.atEnd) return {form, level: null};
    const word = args.take('level');
    if (word.text !== 'level') throw args.invalid(word, "'level' is possible");
    return {form, level: choice(logLevels).read(args)};
  },
};

/** Of a collector; the path of traces is added. */
export const otlpUrl: Shape<string> = {
  usage: 'http://<host>[:<port>][/<path>] | https://...',
  read(args) {
    const word = args.take('<url>');
    if (!/^https?:\/\//.test(word.text) || !URL.canParse(word.text)) throw args.invalid(word, 'the URL of a collector is expected, as http://127.0.0.1:4318');
    return word.text;
  },
};

/** `file:PATH` or `env:NAME`. */
export const keySource: Shape<KeySource> = {
  usage: 'file:<path> | env:<variable>',
  read(args) {
    const word = args.take('file:<path>');
    const [, kind, rest = ''] = /^(file|env):(.+)$/s.exec(word.text) ?? [];
    // What is written here by mistake may be the key itself: the message does not repeat it.
    const hidden = {text: '...', position: word.position};
    if (kind === undefined) throw args.invalid(hidden, 'file:PATH or env:VARIABLE is expected; the key itself does not belong into the configuration');
    if (kind === 'file') return {kind, path: resolveHostPath({text: rest, position: word.position})};
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(rest)) throw args.invalid(hidden, 'after env: the name of an environment variable is expected');
    return {kind: 'env', name: rest};
  },
};

/** A network of /16 to /24, or `auto`. */
export const privateRange: Shape<GlobalConfig['privateRange']> = {
  usage: '<network>/<bits> | auto',
  read(args) {
    const word = args.take('<network>/<bits>');
    if (word.text === 'auto') return 'auto';
    const [address = '', bits = '', ...rest] = word.text.split('/');
    if (!isIPv4(address) || !/^\d{1,2}$/.test(bits) || rest.length > 0) throw args.invalid(word, 'auto or a network such as 10.77.0.0/16 is expected');
    const prefixLength = Number(bits);
    if (prefixLength < 16 || prefixLength > 24) throw args.invalid(word, 'a network from /16 to /24 is needed');
    const number = address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
    if (number % 2 ** (32 - prefixLength) !== 0) throw args.invalid(word, `${address} is not the first address of a /${prefixLength}`);
    const octet = Math.floor(number / 2 ** 24);
    if (octet === 0 || octet === 127 || octet >= 224) throw args.invalid(word, 'hosts cannot have such addresses');
    return {address, prefixLength};
  },
};
