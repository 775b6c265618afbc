/** What the dashboard shows, and what it can do. Whoever has it implements it; nothing here knows how. */
import type {Json} from '../../store/json.ts';

/** What is cheap to know of an app. */
export interface AppSummary {
  readonly name: string;
  /** Of its life cycle. */
  readonly state: string;
  /** In memory, on this host, there and in the store, in the store only, nowhere yet. */
  readonly residence: string;
  readonly pinned: {readonly by: string; readonly until: number | null} | null;
  /** Clients that wait for an answer of it. */
  readonly busy: number;
  /** What it takes of memory; of one that sleeps, what it took when it was awake last. Null: not known. */
  readonly memoryBytes: number | null;
  readonly lastWake: Json;
  readonly lastHibernate: Json;
  readonly lastError: Json;
  /** Where it runs; null: nowhere, or on the only worker. */
  readonly worker: string | null;
}

export interface WorkerSummary {
  readonly name: string;
  readonly [fact: string]: Json;
}

export interface DashboardEvent {
  /** Later ones have greater ones. */
  readonly id: string;
  readonly at: number;
  readonly app: string | null;
  readonly kind: string;
  readonly [detail: string]: Json;
}

/** At one moment: what the awake apps took, and what those that slept would have taken. */
export type MemorySample = readonly [atMs: number, usedBytes: number, savedBytes: number, awake: number];

export const dashboardActions = ['wake', 'hibernate', 'pin', 'unpin'] as const;
export type DashboardAction = (typeof dashboardActions)[number];

/** Every promise may be rejected with a CodedError, whose message the operator gets. */
export interface DashboardSource {
  apps(): Promise<readonly AppSummary[]>;
  /** None: there is only this one. */
  workers(): Promise<readonly WorkerSummary[]>;
  /** Of the whole gateway. */
  facts(): Promise<{readonly [fact: string]: Json}>;
  /** All that is known of one app now. */
  app(name: string): Promise<Json>;
  act(action: DashboardAction, app: string): Promise<Json>;
  /** The oldest first, at most a day of them. */
  memory(): Promise<readonly MemorySample[]>;
  /** The last events of all apps, the oldest first, and then those that come, until `signal` aborts. */
  lastEvents(count: number): Promise<readonly DashboardEvent[]>;
  followEvents(after: string | undefined, signal: AbortSignal): AsyncIterable<DashboardEvent>;
}
