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

export interface SessionLines extends AsyncDisposable {
  /** False: nobody would read a line, so that none needs to be made. */
  readonly isWanted: boolean;
  /** The number that the next line is going to have. */
  readonly nextNumber: number;
  /** @param context with the record of what happened */
  write(context: SampleContext & {readonly record: SessionRecord}, level?: LogLevel): void;
}

/** @throws CodedError ERR_LOG_TARGET, and those of the compiler */
export async function openSessionLines(
  frontend: FrontendConfig,
  {compiler, process: {logTag, logHostname}}: {readonly compiler: SampleCompiler; readonly process: Pick<ProcessConfig, 'logTag' | 'logHostname'>},
): Promise<SessionLines> {
  const {logs, dontLogNull, dontLogNormal, logSeparateErrors} = frontend;
  let written = 0;
  if (logs.length === 0) {
    return {isWanted: false, nextNumber: 1, write: () => undefined, [Symbol.asyncDispose]: () => Promise.resolve()};
  }
  const format = logFormatOf(frontend);
  const render = format === null ? jsonLine : compiler.compileFormat(format, 'log');
  const log: SessionLog = await openSessionLog({targets: logs, tag: frontend.logTag ?? logTag, hostname: logHostname});
  return {
    isWanted: true,
    get nextNumber() {
      return written + 1;
    },
    write(context, level = 'info') {
      const {record} = context;
      if (dontLogNull && record.bytesFromClient === 0 && record.server === null) return;
      const normal = isNormal(record);
      if (dontLogNormal && normal) return;
      written++;
      log.write(render(context), logSeparateErrors && !normal ? 'err' : level);
    },
    [Symbol.asyncDispose]: () => log[Symbol.asyncDispose](),
  };
}

/** No error, no time-out, no retry, no answer 5xx: HAProxy's manual, `option dontlog-normal` and `option log-separate-errors`. */
function isNormal({termination, counts, status}: SessionRecord): boolean {
  return termination.startsWith('--') && counts.retries === 0 && !counts.redispatched && status < 500;
}
