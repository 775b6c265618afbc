/** What stands before a message, by the format of the target: RFC 3164, RFC 5424, and HAProxy's manual, section 4.2, `log`. */
import type {LogTarget} from '../../config/proxy-value.ts';
import {CodedError} from '../../core/errors.ts';

export const logLevels = ['emerg', 'alert', 'crit', 'err', 'warning', 'notice', 'info', 'debug'] as const;
export type LogLevel = (typeof logLevels)[number];

const facilities = [
  ...['kern', 'user', 'mail', 'daemon', 'auth', 'syslog', 'lpr', 'news', 'uucp', 'cron', 'auth2', 'ftp', 'ntp', 'audit', 'alert', 'cron2'],
  ...['local0', 'local1', 'local2', 'local3', 'local4', 'local5', 'local6', 'local7'],
];

const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

export interface HeaderOptions {
  readonly format: LogTarget['format'];
  readonly facility: string;
  /** The name of the program in the line. */
  readonly tag: string;
  /** Null: `log-send-hostname` is not set. */
  readonly hostname: string | null;
}

/** That of RFC 5424 ends where structured data begin. @param severity the index of a level */
export type Header = (severity: number, nowMs: number) => string;

/** @throws CodedError ERR_LOG_TARGET for a facility that there is not */
export function syslogHeader({format, facility, tag, hostname}: HeaderOptions): Header {
  const number = facilities.indexOf(facility);
  if (number < 0) throw new CodedError('ERR_LOG_TARGET', `Cannot log to facility "${facility}": there is no such one`, {source: 'host'});
  const priority = (severity: number): string => `<${number * 8 + severity}>`;
  const local: Header = (severity, nowMs) => `${priority(severity)}${bsdDate(nowMs)} ${tag}[${process.pid}]: `;
  const named: Header = (severity, nowMs) => `${priority(severity)}${bsdDate(nowMs)} ${hostname ?? 'localhost'} ${tag}[${process.pid}]: `;
  switch (format) {
    case 'default':
      return hostname === null ? local : named;
    case 'local':
      return local;
    case 'rfc3164':
      return named;
    case 'rfc5424':
      return (severity, nowMs) => `${priority(severity)}1 ${isoDate(nowMs)} ${hostname ?? '-'} ${tag} ${process.pid} - `;
    case 'priority':
      return priority;
    case 'short':
      return (severity) => `<${severity}>`;
    case 'timed':
      return (severity, nowMs) => `<${severity}>${isoDate(nowMs)} `;
    case 'iso':
      return (_severity, nowMs) => `${isoDate(nowMs)} `;
    case 'raw':
      return () => '';
    default:
      return format satisfies never;
  }
}

/** @throws CodedError ERR_LOG_TARGET */
export function severityOf(level: string): number {
  const names: readonly string[] = logLevels;
  const severity = names.indexOf(level);
  if (severity < 0) throw new CodedError('ERR_LOG_TARGET', `Cannot log at level "${level}": there is no such one`, {source: 'host'});
  return severity;
}

function two(value: number): string {
  return String(value).padStart(2, '0');
}

/** `Nov  8 10:50:42`, local time. */
function bsdDate(atMs: number): string {
  const date = new Date(atMs);
  return `${months[date.getMonth()] ?? ''} ${String(date.getDate()).padStart(2, ' ')} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/** `2026-11-08T10:50:42.174000+01:00`, local time: RFC 3339 with microseconds. */
function isoDate(atMs: number): string {
  const date = new Date(atMs);
  const offset = -date.getTimezoneOffset();
  const zone = `${offset < 0 ? '-' : '+'}${two(Math.floor(Math.abs(offset) / 60))}:${two(Math.abs(offset) % 60)}`;
  const local = new Date(date.getTime() + offset * 60_000).toISOString();
  return `${local.slice(0, -1)}000${zone}`;
}
