/**
 * Where several workers share the apps, an app must not answer anybody when its lease may have run out. A gateway sees to that itself as long as it
 * runs. For one that was killed, or does not get to run, a shell outside it does: it hears from the gateway several times per lease, and stops the apps
 * (SIGSTOP) when it has been silent for half a lease, or has ended. Each lease is extended three times per period, so that every one is still valid then. The
 * gateway lets those go on whose leases are held, when it runs again; the next one takes over those that no other worker has had meanwhile.
 */
import {readdirSync, readFileSync} from 'node:fs';
import type {Clock} from '../core/clock.ts';
import {startDaemon} from '../core/command.ts';
import {signalAll} from './signals.ts';

/** Arguments: seconds of silence, and the directory of the control groups of all apps. CRIU works in them too, and makes an end by itself. */
const script = `
stop() {
  for pid in $(cat "$1"/*/cgroup.procs 2>/dev/null); do
    [ "$(cat /proc/$pid/comm 2>/dev/null)" = criu ] || kill -STOP $pid 2>/dev/null
  done
}
while :; do
  read -r -t "$1" beat
  status=$?
  [ $status -eq 0 ] || stop "$2"
  [ $status -eq 0 ] || [ $status -gt 128 ] || exit 0
done`;

const guardName = 'picogate-guard';
/** The guard of a gateway that was killed has seen that within so long. */
const lastGuardMs = 5000;
const pollMs = 20;
const beatsPerLease = 6;

export interface OrphanGuardOptions {
  /** Of the control groups of all apps of this gateway, where their processes are. */
  readonly cgroupDirectory: string;
  readonly leaseMs: number;
  /** This process was silent for so long that the apps may have been stopped. */
  readonly onSilence: () => void;
  readonly clock: Clock;
}

/** Guards until it is disposed; then the apps must have ended. @throws CommandError */
export async function guardOrphans({cgroupDirectory, leaseMs, onSilence, clock}: OrphanGuardOptions): Promise<AsyncDisposable> {
  await endLastGuard(cgroupDirectory);
  const silenceMs = leaseMs / 2;
  const argv = ['bash', '-c', script, guardName, String(silenceMs / 1000), cgroupDirectory] as const;
  const guard = await startDaemon(argv, {stdio: ['pipe', 'ignore', 'ignore'], dieWithParent: false, stopSignal: 'SIGKILL'});
  const {stdin} = guard.child;
  // One that was killed guards nothing, and the apps go on.
  stdin?.on('error', () => undefined);
  let beatAtMs = clock.monotonicMs();
  let cancel = (): void => undefined;
  const beat = (): void => {
    const nowMs = clock.monotonicMs();
    // Whatever else has become due meanwhile comes first: a lease that has run out.
    if (nowMs - beatAtMs >= silenceMs * 0.9) setImmediate(onSilence);
    beatAtMs = nowMs;
    stdin?.write('\n');
    cancel = clock.after(leaseMs / beatsPerLease, beat);
  };
  beat();
  return {
    async [Symbol.asyncDispose]() {
      cancel();
      await guard[Symbol.asyncDispose]();
    },
  };
}

/** That of a gateway that was killed stops apps, and must not do so any more when they have been taken over. */
async function endLastGuard(cgroupDirectory: string): Promise<void> {
  const deadlineMs = performance.now() + lastGuardMs;
  for (let pids = guardsOf(cgroupDirectory); pids.length > 0; pids = guardsOf(cgroupDirectory)) {
    if (performance.now() > deadlineMs) signalAll(pids, 'SIGKILL');
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}

function guardsOf(cgroupDirectory: string): number[] {
  return readdirSync('/proc').flatMap((entry) => (/^\d+$/.test(entry) && isGuard(entry, cgroupDirectory) ? [Number(entry)] : []));
}

function isGuard(pid: string, cgroupDirectory: string): boolean {
  try {
    const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
    return words.includes(guardName) && words.includes(cgroupDirectory);
  } catch {
    return false; // It has ended meanwhile.
  }
}
