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
  /** @param line a string of bytes without its line feed, as a compiled format yields it. Never waits, never throws */
  write(line: string, level: LogLevel): void;
  /** Lines that were given up because a target did not take them. */
  readonly dropped: number;
}

interface OpenTarget {
  readonly sink: LogSink;
  readonly send: (line: string, severity: number) => void;
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
    write(line, level) {
      const severity = logLevels.indexOf(level);
      const safe = oneLine(line);
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
  const {sample} = target;
  let lines = 0;
  return {
    sink,
    send(line, severity) {
      if (severity > least) return;
      if (sample !== null && !sample.numbers.includes((lines++ % sample.of) + 1)) return;
      // What is worse than the minimum is told as the minimum, so that an emergency does not reach every terminal.
      const text = header(Math.max(severity, most), now()) + line;
      sink.write(Buffer.from(`${text.slice(0, target.maxLineBytes - 1)}\n`, 'latin1'));
    },
  };
}

/** What a client sent must not begin a line of its own. */
function oneLine(line: string): string {
  if (!/[\x00-\x08\x0a-\x1f\x7f]/.test(line)) return line;
  return line.replace(/[\x00-\x08\x0a-\x1f\x7f]/g, (character) => `#${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`);
}
