/** What a worker tells `picogate top` of the apps that run on it. */
import {readKernelTable} from '../core/kernel-files.ts';
import {limited} from '../core/limited.ts';
import type {Json} from '../store/json.ts';
import type {Supervisor} from '../supervisor/supervisor.ts';

const readsAtATime = 32;

/** Bytes of the interfaces of a namespace but for the loopback, as /proc/PID/net/dev has them. */
export function trafficOf(netDev: string): {readonly receivedBytes: number; readonly sentBytes: number} {
  let [receivedBytes, sentBytes] = [0, 0];
  for (const line of netDev.split('\n')) {
    const [, name, numbers = ''] = /^\s*(\S+):\s*(.*)$/.exec(line) ?? [];
    if (name === undefined || name === 'lo') continue;
    const fields = numbers.trim().split(/\s+/).map(Number);
    receivedBytes += fields[0] ?? 0;
    sentBytes += fields[8] ?? 0;
  }
  return {receivedBytes, sentBytes};
}

export async function runningApps(supervisor: Pick<Supervisor, 'names' | 'app'>): Promise<Json> {
  const awake = [...supervisor.names()].filter((name) => supervisor.app(name).status().state === 'running');
  return limited(awake, readsAtATime, async (name) => {
    const {container, wakefulness} = supervisor.app(name);
    const [pid] = container.pids();
    // It may have ended meanwhile.
    const netDev = pid === undefined ? '' : await readKernelTable(`/proc/${pid}/net/dev`).catch(() => '');
    return {name, memoryBytes: wakefulness.memoryBytes(), ...trafficOf(netDev)};
  });
}
