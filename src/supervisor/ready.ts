import type {AppConfig} from '../config/value.ts';
import {CodedError} from '../core/errors.ts';
import {readPortUse} from './ports.ts';

/** A server that starts is looked at this often; reading /proc costs some tens of microseconds. */
const pollMs = 3;

/**
 * Resolves when every exposed port of a freshly started app is listened on. (After a restore the listeners are there.)
 * @param died ends the wait early: the app has ended; its reason says how
 * @throws CodedError ERR_NOT_READY when that takes longer than `wake-timeout`, or the app ends
 */
export async function waitUntilReady(app: AppConfig, pid: number, died: AbortSignal): Promise<void> {
  const deadline = performance.now() + app.wakeTimeoutMs;
  for (;;) {
    const use = await readPortUse(pid);
    const missing = app.expose.filter((expose) => !use[expose.protocol].has(expose.port));
    if (missing.length === 0) return;
    const ports = missing.map((expose) => `${expose.protocol} ${expose.port}`).join(', ');
    if (died.aborted)
      throw new CodedError('ERR_NOT_READY', `Cannot start app "${app.name}": it ${String(died.reason)} before it listened on ${ports}`, {source: 'server'});
    if (performance.now() > deadline) {
      throw new CodedError('ERR_NOT_READY', `Cannot start app "${app.name}": nothing listens on ${ports} after ${app.wakeTimeoutMs} ms`, {source: 'server'});
    }
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}
