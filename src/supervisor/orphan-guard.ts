/**
 * Where several workers share the apps, an app must not answer anybody when its lease may have run out. A gateway sees to that itself as long as it
 * runs. For one that was killed, or does not get to run, a shell outside it does: it hears from the gateway several times per lease, kills the apps
 * when that has ended, since they would go back to their last checkpoint anyway, and stops them when it has been silent for half a lease. Each lease
 * is extended three times per period, so that every one is still valid then. The gateway lets those go on whose leases are held, when it runs again.
 */
import type {Clock} from '../core/clock.ts';
import {startDaemon} from '../core/command.ts';

/** Arguments: seconds of silence, and the directory of the control groups of all apps. CRIU works in them too, and makes an end by itself. */
const script = `
each() {
  for pid in $(cat "$2"/*/cgroup.procs 2>/dev/null); do
    [ "$(cat /proc/$pid/comm 2>/dev/null)" = criu ] || kill -"$1" $pid 2>/dev/null
  done
}
while :; do
  read -r -t "$1" beat
  status=$?
  if [ $status -gt 128 ]; then each STOP "$2"
  elif [ $status -ne 0 ]; then
    echo 1 2>/dev/null >"$2"/cgroup.kill
    each KILL "$2"
    exit 0
  fi
done`;

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
  const silenceMs = leaseMs / 2;
  const argv = ['bash', '-c', script, 'picogate-guard', String(silenceMs / 1000), cgroupDirectory] as const;
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
