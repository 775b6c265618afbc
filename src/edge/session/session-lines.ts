/** The log lines of one frontend's sessions, as `log`, `log-format` and the options around them ask for. */

import type {ProcessConfig} from '../../config/process-value.ts';
import type {FrontendConfig} from '../../config/proxy-value.ts';
import {jsonLine} from '../logs/json-line.ts';
import {openSessionLog, type SessionLog} from '../logs/session-log.ts';
import type {SessionRecord} from '../logs/session-record.ts';
import {logFormatOf} from '../logs/standard-formats.ts';
import type {LogLevel} from '../logs/syslog-header.ts';
import type {SampleCompiler} from '../samples/compile.ts';
import type {SampleContext} from '../samples/context.ts';
import {logDate} from '../samples/log-dates.ts';

export interface SessionLines extends AsyncDisposable {
  /** False: nobody would read a line, so that none needs to be made. */
  readonly isWanted: boolean;
  /** The number that the next line is going to have. */
  readonly nextNumber: number;
  /** @param context with the record of what happened. @returns false when options say that there is no line about this */
  write(context: RecordedContext, level?: LogLevel): boolean;
  /** Of a request that could not be read: `error-log-format` is for it. */
  writeUnread(context: RecordedContext): void;
  /** Of a connection that has become no session, as its `failure` says. As in HAProxy there is none without an option that names a format. @param bind its name, or its number in the frontend */
  writeFailed(context: RecordedContext, bind: string): void;
}

type RecordedContext = SampleContext & {readonly record: SessionRecord};

export const noLines: SessionLines = {
  isWanted: false,
  nextNumber: 0,
  write: () => false,
  writeUnread: () => undefined,
  writeFailed: () => undefined,
  [Symbol.asyncDispose]: () => Promise.resolve(),
};

/** @throws CodedError ERR_LOG_TARGET, and those of the compiler */
export async function openSessionLines(
  frontend: FrontendConfig,
  {compiler, process: {logTag, logHostname}}: {readonly compiler: SampleCompiler; readonly process: Pick<ProcessConfig, 'logTag' | 'logHostname'>},
): Promise<SessionLines> {
  const {logs, logFormat, errorLogFormat, structuredLogFormat, dontLogNull, dontLogNormal, logSeparateErrors} = frontend;
  let written = 0;
  if (logs.length === 0) return noLines;
  const format = logFormatOf(frontend);
  const render = format === null ? jsonLine : compiler.compileFormat(format, 'log');
  const renderError = errorLogFormat === null ? null : compiler.compileFormat(errorLogFormat, 'log');
  const structured = structuredLogFormat === null ? null : compiler.compileFormat(structuredLogFormat, 'log');
  const log: SessionLog = await openSessionLog({targets: logs, tag: frontend.logTag ?? logTag, hostname: logHostname});
  const write = (context: RecordedContext, {level = 'info', rendered = render}: {level?: LogLevel; rendered?: typeof render}): boolean => {
    const {record} = context;
    if (dontLogNull && record.bytesFromClient === 0 && record.server === null) return false;
    const normal = isNormal(record);
    if (dontLogNormal && normal) return false;
    written++;
    const followsFormat = logFormat.kind !== 'default' || rendered !== render;
    log.write(rendered(context), logSeparateErrors && !normal ? 'err' : level, followsFormat ? structured?.(context) : undefined);
    return true;
  };
  return {
    isWanted: true,
    get nextNumber() {
      return written;
    },
    write: (context, level = 'info') => write(context, {level}),
    writeUnread: (context) => void write(context, {rendered: renderError ?? render}),
    writeFailed(context, bind) {
      if (renderError === null && logFormat.kind === 'default') return;
      if (dontLogNull && context.connection.failure?.isEmpty === true) return;
      written++;
      const line = renderError?.(context) ?? (format === null ? jsonLine(context) : failureLine(context, bind));
      log.write(line, logSeparateErrors ? 'err' : 'info', renderError === null ? undefined : structured?.(context));
    },
    [Symbol.asyncDispose]: () => log[Symbol.asyncDispose](),
  };
}

/** What HAProxy writes without an `error-log-format`: its manual, section 8.2.5. */
function failureLine({connection: {source, frontend, failure, acceptedAtMs}}: SampleContext, bind: string): string {
  const client = source.host === '' ? `unix:${bind}` : `${source.host}:${source.port}`;
  return `${client} [${logDate(acceptedAtMs)}] ${frontend.name}/${bind}: ${failure?.text ?? ''}`;
}

/** No error, no time-out, no retry, no answer 5xx: HAProxy's manual, `option dontlog-normal` and `option log-separate-errors`. */
function isNormal({termination, counts, status}: SessionRecord): boolean {
  return termination.startsWith('--') && counts.retries === 0 && !counts.redispatched && status < 500;
}
