/** `log`, in `global` and in proxies. */
import {isIP} from 'node:net';
import {type Arguments, ConfigError} from './arguments.ts';
import type {LogTarget} from './proxy-value.ts';
import {choice, type Shape} from './shapes.ts';
import {didYouMean} from './suggestion.ts';
import {parseInteger, parsePort} from './units.ts';

const formats = ['rfc3164', 'rfc5424', 'short', 'raw', 'timed', 'iso', 'local', 'priority'] as const;
const facilities = `kern user mail daemon auth syslog lpr news uucp cron auth2 ftp ntp audit alert cron2 local0 local1 local2 local3 local4 local5 local6
  local7`.split(/\s+/);
const levels = ['emerg', 'alert', 'crit', 'err', 'warning', 'notice', 'info', 'debug'] as const;
const syslogPort = 514;

/** `global`: the targets of that section; `none`: `no log`. */
export type LogStatement = {readonly kind: 'global'} | {readonly kind: 'none'} | {readonly kind: 'target'; readonly target: LogTarget};

const targetUsage = '<address>[:<port>] | <path> | stdout | stderr [len <bytes>] [format <format>] <facility> [<level> [<minlevel>]]';

export const proxyLog: Shape<LogStatement> = {
  usage: `global | ${targetUsage}`,
  read(args) {
    if (args.peek()?.text === 'global') {
      args.take('global');
      return {kind: 'global'};
    }
    return {kind: 'target', target: readTarget(args)};
  },
};

export const globalLog: Shape<LogTarget> = {usage: targetUsage, read: readTarget};

function readTarget(args: Arguments): LogTarget {
  const to = readAddress(args);
  let format: LogTarget['format'] = 'rfc3164';
  let maxLineBytes = 1024;
  for (;;) {
    const option = args.peek()?.text;
    if (option === 'len') {
      args.take('len');
      maxLineBytes = args.takeParsed('<bytes>', (text) => parseInteger(text, {min: 80, max: 65_535}));
    } else if (option === 'format') {
      args.take('format');
      format = choice(formats).read(args);
    } else if (option === 'sample') {
      const word = args.take('sample');
      throw new ConfigError("'sample' of 'log' is not implemented yet", word.position, word.text);
    } else {
      break;
    }
  }
  const facility = args.take('<facility>');
  if (!facilities.includes(facility.text)) throw args.invalid(facility, `unknown log facility${didYouMean(facility.text, facilities)}`);
  const level = args.atEnd ? 'debug' : choice(levels).read(args);
  const minLevel = args.atEnd ? 'emerg' : choice(levels).read(args);
  return {to, format, facility: facility.text, level, minLevel, maxLineBytes};
}

function readAddress(args: Arguments): LogTarget['to'] {
  const word = args.take('<address>');
  const {text} = word;
  if (text === 'stdout' || text === 'fd@1') return {kind: 'stdout'};
  if (text === 'stderr' || text === 'fd@2') return {kind: 'stderr'};
  if (/^(?:unix@)?\//.test(text)) return {kind: 'unix', path: text.replace(/^unix@/, '')};
  if (/^(?:ring|fd|sockpair|tcp[46]?|abns|stream)@/.test(text)) throw args.invalid(word, 'logs go to UDP addresses, unix sockets, stdout and stderr');
  const [, bracketed, plain = '', port] = /^(?:udp[46]?@|ipv[46]@)?(?:\[(.*)\]|(.*?))(?::(\d+))?$/s.exec(isIP(text) === 6 ? `[${text}]` : text) ?? [];
  const host = bracketed ?? plain;
  if (bracketed === undefined ? !/^[A-Za-z0-9_][A-Za-z0-9_.-]*$/.test(host) : isIP(host) !== 6)
    throw args.invalid(word, 'an address, a path, stdout or stderr is expected');
  const parsed = port === undefined ? null : parsePort(port);
  if (parsed !== null && !parsed.ok) throw args.invalid(word, parsed.reason);
  return {kind: 'udp', host, port: parsed?.value ?? syslogPort};
}
