/** What hibernations write: the first one everything, the later ones only what is new. */
import {lineQuestion, timedAnswer} from '../client.ts';
import type {BenchApp} from './wake-apps.ts';
import type {WakeBench} from './wake-bench.ts';

const changedBytes = 2 ** 20;
const roundsMax = 5;

export const deltaCases = {
  touch: 'hibernation after 1 MiB of 64 MB was touched',
  write: 'hibernation after 1 MiB of 64 MB was written',
} as const;

/** The app has one generation when this begins. */
export async function measureDeltas({rounds, gateway, record, progress}: WakeBench, {name, port}: BenchApp): Promise<void> {
  progress('what further hibernations write');
  for (let round = 1; round <= Math.min(rounds, roundsMax); round++) {
    for (const what of ['touch', 'write'] as const) {
      await timedAnswer(port, lineQuestion(`${what} ${changedBytes}`));
      const {lastHibernate} = await gateway.hibernate(name);
      if (lastHibernate === null) throw new Error(`${name} has no record of its hibernation`);
      const {ms, frozenMs, bytesWritten} = lastHibernate;
      record({case: deltaCases[what], round, values: {hibernateMs: ms, frozenMs, bytesWritten}});
    }
  }
}
