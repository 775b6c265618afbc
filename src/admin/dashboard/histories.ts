/** What happened to each app of late, made of the events that the gateway keeps anyway: nothing of it exists while nobody looks. */
import type {DashboardEvent} from './dashboard-source.ts';

/** Of each app. */
const maxStates = 200;
const maxMoments = 60;

export interface AppHistory {
  /** The states that it was in, the oldest first: from when on. */
  readonly states: readonly (readonly [atMs: number, state: string])[];
  /** Wakes, sleeps, failures and what else was worth an event, the oldest first. */
  readonly moments: readonly DashboardEvent[];
}

interface Lists {
  states: [number, string][];
  moments: DashboardEvent[];
}

const nothing: AppHistory = {states: [], moments: []};

export class Histories {
  readonly #apps = new Map<string, Lists>();
  #recent: DashboardEvent[] = [];
  #lastId: string | undefined;

  /** Of the last event that was added. */
  get lastId(): string | undefined {
    return this.#lastId;
  }

  add(event: DashboardEvent): void {
    this.#lastId = event.id;
    const {app, kind, at} = event;
    if (kind !== 'state' && kind !== 'paged') push(this.#recent, event, maxMoments);
    if (app === null) return;
    const lists = this.#apps.get(app) ?? {states: [], moments: []};
    this.#apps.set(app, lists);
    if (kind === 'paged') addPages(lists.moments, event);
    else if (kind === 'state') {
      const to = event['to'];
      if (typeof to === 'string') push(lists.states, [at, to], maxStates);
    } else push(lists.moments, event, maxMoments);
  }

  of(app: string): AppHistory {
    return this.#apps.get(app) ?? nothing;
  }

  /** Of all apps and of the gateway, without changes of states; the newest first. */
  recent(count: number): readonly DashboardEvent[] {
    return this.#recent.slice(-count).reverse();
  }

  /** How long wakes of all apps took, in milliseconds, the oldest first. */
  wakes(): readonly number[] {
    return [...this.#apps.values()].flatMap(({moments}) =>
      moments.flatMap((moment) => (moment.kind === 'woken' && typeof moment['ms'] === 'number' ? [moment['ms']] : [])),
    );
  }

  clear(): void {
    this.#apps.clear();
    this.#recent = [];
    this.#lastId = undefined;
  }
}

/** The foreseen pages of the last wake were there after it: it is told of that wake. */
function addPages(moments: DashboardEvent[], paged: DashboardEvent): void {
  const at = moments.findLastIndex(({kind}) => kind === 'woken');
  const woken = moments[at];
  if (woken !== undefined) moments[at] = {...woken, pagesMs: paged['ms'] ?? null};
}

function push<T>(list: T[], value: T, most: number): void {
  list.push(value);
  if (list.length > most) list.shift();
}
