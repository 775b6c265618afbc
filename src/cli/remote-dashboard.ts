/** The dashboard of an edge that has no apps of its own: whoever runs them tells through Redis what is shown, and does what is asked for. */
import type {AppSummary, DashboardSource, MemorySample, WorkerSummary} from '../admin/dashboard/dashboard-source.ts';
import {CodedError} from '../core/errors.ts';
import type {Connection} from '../store/connection.ts';
import {callControl} from '../store/control.ts';
import type {ControlHandler} from '../store/control-message.ts';
import {openEvents} from '../store/events.ts';
import type {Json} from '../store/json.ts';
import {commandMs, detailOf, eventsOf} from './dashboard-source.ts';

const askMs = 5000;
/** What was asked for one look at the board counts for all of it. */
const lookMs = 500;

interface Told {
  readonly apps: readonly AppSummary[];
  readonly workers: readonly WorkerSummary[];
  readonly facts: {readonly [fact: string]: Json};
}

/** What whoever runs the apps answers to edges. */
export function dashboardHandlers(source: DashboardSource): Readonly<Record<string, ControlHandler>> {
  return {
    async dashboard() {
      const [apps, workers, facts] = await Promise.all([source.apps(), source.workers(), source.facts()]);
      return {apps: apps.map((app) => ({...app, pinned: app.pinned && {...app.pinned}})), workers: workers.map((worker) => ({...worker})), facts};
    },
    'dashboard memory': async () => (await source.memory()).map((sample) => [...sample]),
  };
}

export function remoteDashboard(connection: Connection): DashboardSource {
  const run = async (command: string, args: Json, timeoutMs = commandMs): Promise<Json> => callControl(connection, command, args, {timeoutMs});
  let asked: {readonly atMs: number; readonly answer: Promise<Told>} | null = null;
  const told = (): Promise<Told> => {
    const nowMs = performance.now();
    if (asked === null || nowMs - asked.atMs > lookMs) asked = {atMs: nowMs, answer: run('dashboard', null, askMs).then(parseTold)};
    return asked.answer;
  };
  return {
    apps: async () => (await told()).apps,
    workers: async () => (await told()).workers,
    facts: async () => (await told()).facts,
    app: async (name) => detailOf(run, name),
    act: (action, name) => run(action, {name}),
    memory: async () => parseSamples(await run('dashboard memory', null, askMs)),
    ...eventsOf(openEvents(connection)),
  };
}

function badAnswer(): CodedError {
  return new CodedError('ERR_BAD_ANSWER', 'Cannot show the apps: the answer of whoever runs them cannot be read', {source: 'server'});
}

/** It was made by `dashboardHandlers()`. */
function parseTold(answer: Json): Told {
  if (typeof answer !== 'object' || answer === null || !('apps' in answer) || !('workers' in answer) || !('facts' in answer)) throw badAnswer();
  return answer as unknown as Told;
}

function parseSamples(answer: Json): readonly MemorySample[] {
  if (!Array.isArray(answer)) throw badAnswer();
  const samples: readonly unknown[] = answer;
  return samples as readonly MemorySample[];
}
