/** Lines about sessions, sent where `log` directives say: HAProxy's manual, section 4.2, `log`. */
import type {LogTarget} from '../../config/proxy-value.ts';
import {type LogSink, openLogSink} from './log-sinks.ts';
import {type LogLevel, logLevels, severityOf, syslogHeader} from './syslog-header.ts';

export interface SessionLogOptions {
  readonly targets: readonly LogTarget[];
  /** The name of the program in lines: `log-tag`. */
  readonly tag: string;
  /** With `log-send-hostname`; else null. */
  readonly hostname: string | null;
  readonly now?: () => number;
}

export interface SessionLog extends AsyncDisposable {
  /**
   * Never waits, never throws.
   * @param line a string of bytes without its line feed, as a compiled format yields it
   * @param structuredData the same, for targets of RFC 5424
   */
  write(line: string, level: LogLevel, structuredData?: string): void;
  /** Lines that were given up because a target did not take them. */
  readonly dropped: number;
}

interface OpenTarget {
  readonly sink: LogSink;
  readonly send: (line: SafeLine, severity: number) => void;
}

/** Both without control characters. */
interface SafeLine {
  readonly message: string;
  /** Empty: there are none. */
  readonly structuredData: string;
}

/**
 * The caller disposes it, which lets what was written reach the kernel.
 * @throws CodedError ERR_LOG_TARGET for a target that cannot be: nothing is left open then
 */
export async function openSessionLog(options: SessionLogOptions): Promise<SessionLog> {
  await using scope = new AsyncDisposableStack();
  const targets: OpenTarget[] = [];
  for (const target of options.targets) targets.push(openTarget(target, scope.use(await openLogSink(target.to)), options));
  const owned = scope.move();
  return {
    write(line, level, structuredData = '') {
      const severity = logLevels.indexOf(level);
      const safe: SafeLine = {message: oneLine(line), structuredData: oneLine(structuredData).trimEnd()};
      for (const target of targets) target.send(safe, severity);
    },
    get dropped() {
      return targets.reduce((sum, {sink}) => sum + sink.dropped, 0);
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

function openTarget(target: LogTarget, sink: LogSink, {tag, hostname, now = Date.now}: SessionLogOptions): OpenTarget {
  const header = syslogHeader({format: target.format, facility: target.facility, tag, hostname});
  const least = severityOf(target.level);
  const most = severityOf(target.minLevel);
  const {sample, format} = target;
  const isDatagram = target.to.kind === 'udp' || target.to.kind === 'unix';
  // As in HAProxy, where the line feed of a datagram is not counted.
  const limit = isDatagram ? target.maxLineBytes : target.maxLineBytes - 1;
  let lines = 0;
  return {
    sink,
    send(line, severity) {
      if (severity > least) return;
      if (sample !== null && !sample.numbers.includes((lines++ % sample.of) + 1)) return;
      // What is worse than the minimum is told as the minimum, so that an emergency does not reach every terminal.
      const head = header(Math.max(severity, most), now());
      const text = format === 'rfc5424' ? withStructuredData(head, line, isDatagram ? limit : null) : head + line.message;
      sink.write(Buffer.from(`${text.slice(0, limit)}\n`, 'latin1'));
    },
  };
}

/** @param wholeBytes for structured data that would not be whole in so many bytes there is nothing at all, as in HAProxy; null: they are cut like any text */
function withStructuredData(head: string, {message, structuredData}: SafeLine, wholeBytes: number | null): string {
  if (structuredData === '') return `${head}- ${message}`;
  if (wholeBytes !== null && head.length + structuredData.length >= wholeBytes) return head;
  return `${head}${structuredData} ${message}`;
}

/** What a client sent must not begin a line of its own. */
function oneLine(line: string): string {
  if (!/[\x00-\x08\x0a-\x1f\x7f]/.test(line)) return line;
  return line.replace(/[\x00-\x08\x0a-\x1f\x7f]/g, (character) => `#${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`);
}
