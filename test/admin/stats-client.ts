/** Asks a stats socket as `socat` does: one line, the answer until the end. */
import {connect} from 'node:net';
import type {Level} from '../../src/admin/command.ts';
import type {GatewayControl} from '../../src/admin/gateway-control.ts';
import {openStatsSocket, type StatsSocket} from '../../src/admin/stats-socket.ts';
import {systemClock} from '../../src/core/clock.ts';

/** Sends `text` and the end of the stream. @returns all that came back */
export function askSocket(path: string, text: string | Buffer, {timeoutMs = 10_000}: {timeoutMs?: number} = {}): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({path, allowHalfOpen: true});
    const chunks: Buffer[] = [];
    const timer = setTimeout(
      () => socket.destroy(new Error(`no answer to ${JSON.stringify(text.toString('latin1').slice(0, 80))} in ${timeoutMs} ms`)),
      timeoutMs,
    );
    socket.on('data', (chunk: Buffer) => void chunks.push(chunk));
    socket.on('error', (error: NodeJS.ErrnoException) => {
      // The other side may have closed before it had taken everything.
      if (error.code !== 'EPIPE' && error.code !== 'ECONNRESET') reject(error);
    });
    socket.on('close', () => {
      clearTimeout(timer);
      resolve(Buffer.concat(chunks).toString());
    });
    socket.end(text);
  });
}

export async function statsSocket(
  path: string,
  control: GatewayControl,
  {level = 'admin', timeoutMs = 5000}: {level?: Level; timeoutMs?: number} = {},
): Promise<StatsSocket> {
  return openStatsSocket({
    address: {kind: 'unix', path, abstract: false, mode: 0o600, uid: null, gid: null},
    level,
    exposesListeners: false,
    timeoutMs,
    maxconn: 10,
    control,
    sockets: [{address: `unix@${path}`, level}],
    clock: systemClock,
  });
}
