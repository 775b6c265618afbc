/** What the dashboard shows of the apps, and does with them: the parts of the gateway asked, and the admin commands. */
import type {AppSummary, DashboardEvent, DashboardSource, WorkerSummary} from '../admin/dashboard/dashboard-source.ts';
import {CodedError, errorMessage} from '../core/errors.ts';
import {appName} from '../core/ids.ts';
import type {Pager} from '../pager/client.ts';
import type {Placement} from '../pager/protocol.ts';
import type {ControlHandler} from '../store/control-message.ts';
import type {Event, Events, StoredEvent} from '../store/events.ts';
import type {Json} from '../store/json.ts';
import type {State} from '../store/state.ts';
import type {WorkerStatus} from '../store/workers.ts';
import type {App} from '../supervisor/app.ts';
import type {Supervisor} from '../supervisor/supervisor.ts';
import {residenceOf} from './explanation.ts';
import {keptBytes, type MemoryHistory} from './memory-history.ts';

/** A wake or a sleep may take so long; the page waits for it. */
export const commandMs = 120_000;

export interface DashboardParts {
  readonly supervisor: Supervisor;
  readonly pager: Pick<Pager, 'status'>;
  readonly placements: ReadonlyMap<string, Placement>;
  readonly commands: Readonly<Record<string, ControlHandler>>;
  readonly events: Events;
  readonly memory: MemoryHistory;
  /** Where several workers share the apps: all of these, and what each app is where it is. Null: there is only this one. */
  readonly shared: {readonly workers: () => Promise<readonly WorkerStatus[]>; readonly records: State['listApps']} | null;
}

export function dashboardSource(parts: DashboardParts): DashboardSource {
  const {supervisor, pager, commands, events, memory, shared} = parts;
  const run = async (command: string, args: Json): Promise<Json> => {
    const handler = commands[command];
    if (handler === undefined) throw new CodedError('ERR_BAD_COMMAND', `Cannot run the command "${command}": there is none`, {source: 'bug'});
    return handler(args, AbortSignal.timeout(commandMs));
  };
  return {
    apps: async () => appSummaries(parts),
    workers: async () => (shared === null ? [] : (await shared.workers()).map((worker): WorkerSummary => ({...worker, expiresInMs: null, at: null}))),
    async facts() {
      const [limits, {remote}] = await Promise.all([supervisor.memory(), pager.status()]);
      const sample = memory.now();
      return {
        memory: limits === null ? null : {...limits},
        usedBytes: sample[1],
        savedBytes: sample[2],
        store: remote === null ? null : {place: remote.place, outage: remote.outage === null ? null : {...remote.outage}, pendingBytes: remote.pendingBytes},
      };
    },
    app: async (name) => detailOf(run, name),
    act: (action, name) => run(action, {name}),
    memory: async () => memory.samples,
    ...eventsOf(events),
  };
}

/** All about one app, at whichever worker has it. @param run has an admin command done. @throws CodedError */
export async function detailOf(run: (command: string, args: Json) => Promise<Json>, name: string): Promise<Json> {
  const [live, explained, pages] = await Promise.all([
    run('show', {name}),
    run('explain', {name}),
    run('memory', {name}).catch((error: unknown): Json => ({problem: errorMessage(error)})),
  ]);
  return {live, explained, pages};
}

export function eventsOf(events: Events): Pick<DashboardSource, 'lastEvents' | 'followEvents'> {
  return {
    lastEvents: async (count) => (await events.last(count)).map(asEvent),
    async *followEvents(after, signal) {
      for await (const stored of events.follow({...(after === undefined ? {} : {after}), signal})) yield asEvent(stored);
    },
  };
}

/** Of a gateway without apps. */
export const dashboardWithoutApps: DashboardSource = {
  apps: async () => [],
  workers: async () => [],
  facts: async () => ({}),
  app: (name) => Promise.reject(new CodedError('ERR_UNKNOWN_APP', `Cannot find app "${name}": the gateway has none`, {source: 'client'})),
  act: (_action, name) => Promise.reject(new CodedError('ERR_UNKNOWN_APP', `Cannot find app "${name}": the gateway has none`, {source: 'client'})),
  memory: async () => [],
  lastEvents: async () => [],
  async *followEvents(_after, signal) {
    if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve, {once: true}));
    yield* [];
  },
};

function asEvent({id, event}: StoredEvent): DashboardEvent {
  return {...(event satisfies Event), id};
}

async function appSummaries({supervisor, placements, shared}: DashboardParts): Promise<readonly AppSummary[]> {
  const records = await shared?.records();
  return Promise.all(
    [...supervisor.names()].map(async (name): Promise<AppSummary> => {
      const app = supervisor.app(name);
      const here = await summaryOf(app, placements.get(name) ?? null);
      const record = records?.get(appName(name));
      if (app.isHere || record === undefined || record instanceof Error) return {name, worker: null, ...here};
      const {state, worker, lastWake, lastHibernate, lastError} = record;
      return {
        ...here,
        name,
        state,
        worker,
        lastWake: lastWake && {...lastWake},
        lastHibernate: lastHibernate && {...lastHibernate},
        lastError: lastError && {...lastError},
      };
    }),
  );
}

async function summaryOf(app: App, placement: Placement | null): Promise<Omit<AppSummary, 'name' | 'worker'>> {
  const {state, rest, lastWake, lastHibernate, lastError} = app.status();
  const {pinned, busySessions} = app.wakefulness;
  return {
    state,
    residence: residenceOf({status: {state, rest, lastWake, lastHibernate}, placement}),
    pinned,
    busy: busySessions.count,
    memoryBytes: app.instance === null ? keptBytes(app) : app.wakefulness.memoryBytes(),
    lastWake: lastWake && {...lastWake},
    lastHibernate: lastHibernate && {...lastHibernate},
    lastError: lastError && {...lastError},
  };
}
