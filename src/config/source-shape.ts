/** `source`: where connections to servers come from. */
import {isIP} from 'node:net';
import type {Arguments} from './arguments.ts';
import type {ServerConfig} from './proxy-value.ts';
import type {Shape} from './shapes.ts';
import {parsePort} from './units.ts';

type Source = ServerConfig['source'];

/** `<address>[:<port>] [usesrc client | clientip]` @throws ConfigError */
export function readSource(args: Arguments): Source {
  const word = args.take('<address>');
  const [, bracketed, plain = '', portText] = /^(?:\[(.*)\]|([^:]*|.*:.*:.*))(?::(\d+))?$/.exec(word.text) ?? [];
  const host = bracketed ?? (plain === '*' ? '0.0.0.0' : plain);
  if (isIP(host) === 0) throw args.invalid(word, 'an address is expected');
  const port = portText === undefined || portText === '0' ? null : parsePort(portText);
  if (port !== null && !port.ok) throw args.invalid(word, port.reason);
  const use = args.peek()?.text;
  if (use === 'usesrc') {
    args.take('usesrc');
    const whose = args.take('client');
    if (whose.text !== 'client' && whose.text !== 'clientip') throw args.invalid(whose, "'usesrc' takes client or clientip here");
    return 'client';
  }
  if (use === 'interface') {
    const option = args.take('interface');
    throw args.invalid(option, "'interface' of 'source' is not implemented yet");
  }
  return {host, port: port === null ? null : port.value};
}

export const source: Shape<Source> = {usage: '<address>[:<port>] [usesrc client]', read: readSource};
