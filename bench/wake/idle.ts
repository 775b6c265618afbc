/** The memory of a gateway with one hibernated app and nothing to do, and the cost of an app's first hibernation. */
import {setTimeout as sleep} from 'node:timers/promises';
import {lineQuestion, timedAnswer} from '../client.ts';
import type {BenchApp} from './wake-apps.ts';
import type {WakeBench} from './wake-bench.ts';

export const idleCase = 'idle gateway with one hibernated app';
export const firstHibernationCase = 'first hibernation of 64 MB';

/** After this Node has given back what it had only for the start. */
const settleMs = 2000;

const roles = {
  pager: /pager\/main\./,
  gateway: /cli\/main\./,
  redis: /redis-server|valkey-server/,
  criu: /\bswrk\b|\bcriu: /,
} as const;

function roleOf(commandLine: string): string {
  return Object.entries(roles).find(([, pattern]) => pattern.test(commandLine))?.[0] ?? 'other';
}

export async function measureIdle({gateway, record, signal, progress}: WakeBench, {name, port}: BenchApp): Promise<void> {
  progress('memory of a gateway with one hibernated app');
  await timedAnswer(port, lineQuestion('count'));
  const {lastHibernate} = await gateway.hibernate(name);
  if (lastHibernate === null) throw new Error(`${name} has no record of its hibernation`);
  const {ms, frozenMs, bytesWritten} = lastHibernate;
  record({case: firstHibernationCase, round: 1, values: {hibernateMs: ms, frozenMs, bytesWritten}});
  await sleep(settleMs, undefined, {signal});
  await gateway.untilQuiet();
  const processes = await gateway.memory();
  const sum = (of: typeof processes, field: 'residentBytes' | 'proportionalBytes'): number => of.reduce((total, process) => total + process[field], 0);
  for (const role of [...Object.keys(roles), 'other']) {
    const members = processes.filter((process) => roleOf(process.name) === role);
    if (members.length === 0) continue;
    record({
      case: `${idleCase}: ${role}`,
      round: 1,
      values: {processes: members.length, residentBytes: sum(members, 'residentBytes'), proportionalBytes: sum(members, 'proportionalBytes')},
    });
  }
  record({
    case: idleCase,
    round: 1,
    values: {processes: processes.length, residentBytes: sum(processes, 'residentBytes'), proportionalBytes: sum(processes, 'proportionalBytes')},
  });
}
