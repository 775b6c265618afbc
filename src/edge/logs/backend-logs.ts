/** Lines about servers, to where the `log` lines of their backends say, as HAProxy sends them. */
import type {ProcessConfig} from '../../config/process-value.ts';
import type {BackendConfig} from '../../config/proxy-value.ts';
import {openSessionLog, type SessionLog} from './session-log.ts';
import type {LogLevel} from './syslog-header.ts';

export interface BackendLogs extends AsyncDisposable {
  write(backend: string, line: string, level: LogLevel): void;
}

/** @throws CodedError ERR_LOG_TARGET; nothing is left open then */
export async function openBackendLogs(backends: readonly BackendConfig[], process: Pick<ProcessConfig, 'logTag' | 'logHostname'>): Promise<BackendLogs> {
  await using scope = new AsyncDisposableStack();
  const logs = new Map<string, SessionLog>();
  for (const {name, logs: targets, logTag} of backends) {
    if (targets.length === 0) continue;
    logs.set(name, scope.use(await openSessionLog({targets, tag: logTag ?? process.logTag, hostname: process.logHostname})));
  }
  const owned = scope.move();
  return {
    write: (backend, line, level) => logs.get(backend)?.write(line, level),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
