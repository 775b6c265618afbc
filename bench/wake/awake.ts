/**
 * What the gateway costs while an app is awake: the same nginx asked directly at its private address, through `mode nat` and through
 * `mode tcp`, in turns. It is asked directly twice per round: how much these two differ is the noise that any difference is judged by.
 */
import {connectionRate, httpQuestion, requestRate, type Server, timedAnswer} from '../client.ts';
import type {BenchApp} from './wake-apps.ts';
import type {WakeBench} from './wake-bench.ts';

const durationMs = 250;
const connections = 4;
/** Rounds are short, so there are more of them. */
const roundsFactor = 2;

export const awakePaths = ['direct', 'direct again', 'mode nat', 'mode tcp'] as const;
export type AwakePath = (typeof awakePaths)[number];

export function awakeCase(path: AwakePath): string {
  return `nginx awake, ${path}`;
}

export async function measureAwake({rounds, gateway, record, signal, progress}: WakeBench, app: BenchApp & {readonly natPort: number}): Promise<void> {
  progress('requests while awake');
  await timedAnswer(app.port, httpQuestion);
  const direct: Server = {host: await gateway.address(app.name), port: 80};
  const servers: Record<AwakePath, Server> = {
    direct,
    'direct again': direct,
    'mode nat': {host: '127.0.0.1', port: app.natPort},
    'mode tcp': {host: '127.0.0.1', port: app.port},
  };
  await gateway.untilQuiet();
  for (let round = 0; round <= rounds * roundsFactor; round++) {
    for (let turn = 0; turn < awakePaths.length; turn++) {
      signal.throwIfAborted();
      const path = awakePaths[(turn + round) % awakePaths.length] ?? 'direct';
      const server = servers[path];
      const values = {
        requestsPerSecond: await requestRate(server, {connections, durationMs}),
        connectionsPerSecond: await connectionRate(server, {durationMs}),
      };
      // The first round only warms up.
      if (round > 0) record({case: awakeCase(path), round, values});
    }
  }
  await gateway.hibernate(app.name);
}
