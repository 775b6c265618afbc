/** Tells systemd how we are (sd_notify(3)): a datagram to the socket that NOTIFY_SOCKET names. Without one nothing happens. */

import type {Clock} from '../core/clock.ts';
import {close, socket, socketType, trySendTo} from '../core/libc.ts';

const unixFamily = 1;
const doNotWait = 0x40;

export interface Notifier extends Disposable {
  /** @param status what people are shown */
  ready(status: string): void;
  /** Until the next `ready()`. */
  reloading(): void;
  /** @param timeoutMs how long it may take, whatever the unit says */
  stopping(timeoutMs: number): void;
}

function address(path: string): Buffer {
  const name = Buffer.from(path.startsWith('@') ? `\0${path.slice(1)}` : path);
  const buffer = Buffer.alloc(2 + name.length + (path.startsWith('@') ? 0 : 1));
  buffer.writeUInt16LE(unixFamily, 0);
  name.copy(buffer, 2);
  return buffer;
}

/** The variables are taken away, so that programs started from here do not speak for us. */
export function openNotifier(environment: NodeJS.ProcessEnv, clock: Clock): Notifier {
  const {NOTIFY_SOCKET: path, WATCHDOG_USEC: watchdogUs, WATCHDOG_PID: watchdogPid} = environment;
  delete environment['NOTIFY_SOCKET'];
  delete environment['WATCHDOG_USEC'];
  delete environment['WATCHDOG_PID'];
  if (path === undefined || path === '') return {ready: nothing, reloading: nothing, stopping: nothing, [Symbol.dispose]: nothing};
  const to = address(path);
  const fd = socket(unixFamily, socketType.datagram | socketType.closeOnExec, 0);
  let open = true;
  // systemd that does not listen is not our trouble.
  const send = (lines: readonly string[]): void => void trySendTo(fd, Buffer.from(lines.join('\n')), doNotWait, to);
  let cancel: () => void = nothing;
  const watchdogMs = Number(watchdogUs) / 1000;
  if (watchdogMs > 0 && (watchdogPid === undefined || Number(watchdogPid) === process.pid)) {
    const beat = (): void => {
      send(['WATCHDOG=1']);
      cancel = clock.after(watchdogMs / 2, beat);
    };
    beat();
  }
  return {
    ready: (status) => send(['READY=1', `MAINPID=${process.pid}`, `STATUS=${status}`]),
    reloading: () => send(['RELOADING=1', `MONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`, 'STATUS=Reloading.']),
    stopping: (timeoutMs) => send(['STOPPING=1', `EXTEND_TIMEOUT_USEC=${timeoutMs * 1000}`, 'STATUS=Stopping.']),
    [Symbol.dispose]() {
      cancel();
      if (open) close(fd);
      open = false;
    },
  };
}

function nothing(): void {
  // There is nobody to tell.
}
