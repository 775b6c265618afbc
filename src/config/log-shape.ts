/** `log`, in `global` and in proxies. */
import {isIP} from 'node:net';
import type {Arguments} from './arguments.ts';
import type {LogTarget} from './proxy-value.ts';
import {choice, type Shape} from './shapes.ts';
import {didYouMean} from './suggestion.ts';
import {type Parsed, parseInteger, parsePort} from './units.ts';

const formats = ['rfc3164', 'rfc5424', 'short', 'raw', 'timed', 'iso', 'local', 'priority'] as const;
const facilities = `kern user mail daemon auth syslog lpr news uucp cron auth2 ftp ntp audit alert cron2 local0 local1 local2 local3 local4 local5 local6
  local7`.split(/\s+/);
const levels = ['emerg', 'alert', 'crit', 'err', 'warning', 'notice', 'info', 'debug'] as const;
const syslogPort = 514;

/** `global`: the targets of that section; `none`: `no log`. */
export type LogStatement = {readonly kind: 'global'} | {readonly kind: 'none'} | {readonly kind: 'target'; readonly target: LogTarget};

const targetUsage =
  '<address>[:<port>] | <path> | stdout | stderr | fd@<number> [len <bytes>] [format <format>] [sample <ranges>:<size>] <facility> [<level> [<minlevel>]]';

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
  let format: LogTarget['format'] = 'default';
  let maxLineBytes = 1024;
  let sample: LogTarget['sample'] = null;
  for (;;) {
    const option = args.peek()?.text;
    if (option === 'len') {
      args.take('len');
      maxLineBytes = args.takeParsed('<bytes>', (text) => parseInteger(text, {min: 80, max: 65_535}));
    } else if (option === 'format') {
      args.take('format');
      format = choice(formats).read(args);
    } else if (option === 'sample') {
      args.take('sample');
      sample = args.takeParsed('<ranges>:<size>', parseSample);
    } else {
      break;
    }
  }
  const facility = args.take('<facility>');
  if (!facilities.includes(facility.text)) throw args.invalid(facility, `unknown log facility${didYouMean(facility.text, facilities)}`);
  const level = args.atEnd ? 'debug' : choice(levels).read(args);
  const minLevel = args.atEnd ? 'emerg' : choice(levels).read(args);
  return {to, format, facility: facility.text, level, minLevel, maxLineBytes, sample};
}

function readAddress(args: Arguments): LogTarget['to'] {
  const word = args.take('<address>');
  const {text} = word;
  if (text === 'stdout' || text === 'fd@1') return {kind: 'stdout'};
  if (text === 'stderr' || text === 'fd@2') return {kind: 'stderr'};
  const inherited = /^fd@(\d{1,6})$/.exec(text)?.[1];
  if (inherited !== undefined) return {kind: 'fd', fd: Number(inherited)};
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

/** `1,3-5:10`: of ten lines in a row the first, and the third to the fifth. */
function parseSample(text: string): Parsed<LogTarget['sample']> {
  const [, ranges = '', size = ''] = /^([\d,-]+):(\d{1,5})$/.exec(text) ?? [];
  const of = Number(size);
  const numbers = ranges.split(',').flatMap((range) => {
    const [, from = '', to = from] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(range) ?? [];
    return Number(to) < Number(from) ? [] : Array.from({length: Number(to) - Number(from) + 1}, (_, at) => Number(from) + at);
  });
  const isValid = of > 0 && numbers.length > 0 && numbers.every((number, at) => number >= 1 && number <= of && (at === 0 || number > (numbers[at - 1] ?? 0)));
  return isValid ? {ok: true, value: {of, numbers}} : {ok: false, reason: 'ascending ranges and a size are expected, as 1,3-5:10'};
}
