/** What may follow the keywords of `global` that are not plain numbers and times. */
import {isIPv4} from 'node:net';
import {type Placed, resolveHostPath, type Shape} from './shapes.ts';
import type {GlobalConfig} from './value.ts';

/** `unix:PATH`, `redis://...` or `rediss://...`. Its messages do not repeat the URL: it may hold a password. */
export const redisUrl: Shape<GlobalConfig['redis']> = {
  usage: 'unix:<path> | redis://<host>[:<port>][/<database>] | rediss://...',
  read(args) {
    const {text, position} = args.take('<url>');
    const refuse = (reason: string) => args.invalid({text: text.replace(/:\/\/.*$/s, '://...'), position}, reason);
    if (/^(?:redis-)?(?:sentinel|cluster):/.test(text)) throw refuse('Sentinel and Cluster are not implemented yet');
    if (text.startsWith('unix:')) {
      const path = text.slice('unix:'.length);
      if (path === '') throw refuse('a path is expected');
      return {kind: 'url', url: `unix:${resolveHostPath({text: path.replace(/^\/\/(?=\/)/, ''), position})}`};
    }
    const url = URL.parse(text);
    if (url === null || (url.protocol !== 'redis:' && url.protocol !== 'rediss:') || url.hostname === '') {
      throw refuse('unix:PATH, redis://HOST[:PORT] or rediss://HOST[:PORT] is expected');
    }
    if (!/^(?:\/\d{0,4})?$/.test(url.pathname)) throw refuse('after the / the number of a database is expected');
    return {kind: 'url', url: text};
  },
};

/** `dir:PATH`. */
export const store: Shape<Placed> = {
  usage: 'dir:<path>',
  read(args) {
    const word = args.take('dir:<path>');
    if (word.text.startsWith('s3:')) throw args.invalid(word, 'S3 is not implemented yet, dir:PATH is possible');
    const path = word.text.startsWith('dir:') ? word.text.slice('dir:'.length) : '';
    if (path === '') throw args.invalid(word, 'dir:PATH is expected');
    return {text: resolveHostPath({text: path, position: word.position}), position: word.position};
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
