/** Keeps a board up to date while somebody looks at it, at most once a second and for at most a tenth of the time; does nothing otherwise. */
import {setImmediate as turn} from 'node:timers/promises';
import type {Clock} from '../../core/clock.ts';
import {errorMessage} from '../../core/errors.ts';
import type {Log} from '../../core/log.ts';
import type {GatewayControl} from '../gateway-control.ts';
import {type StatRow, statRows} from '../stat-rows.ts';
import {Board} from './board.ts';
import type {AppSummary, DashboardEvent, DashboardSource} from './dashboard-source.ts';
import {Histories} from './histories.ts';

const lookMs = 1000;
/** Of the time between two looks, in which something else can be done. */
const restShare = 9;
/** Rows of statistics that are read before others get their turn. */
const rowsAtATime = 200;
const eventsRead = 10_000;
const eventsShown = 30;
/** What was found is kept so long for whoever looks again. */
const keptMs = 60_000;
/** Events that cannot be followed now are asked for again. */
const retryMs = 5000;

export interface LiveBoardOptions {
  /** It may be another one after a reload. */
  readonly source: () => DashboardSource;
  readonly control: GatewayControl;
  readonly clock: Clock;
  readonly log: Log;
}

/** What of a row is shown. Times that grow by themselves are not: every row would change with each look. */
const columns = [
  ...['svname', 'status', 'mode', 'qcur', 'scur', 'smax', 'slim', 'stot', 'rate', 'bin', 'bout', 'dreq', 'dresp', 'ereq', 'econ', 'eresp'],
  ...['wretr', 'wredis', 'weight', 'act', 'bck', 'check_status', 'last_chk', 'chkfail', 'addr', 'app', 'hrsp_2xx', 'hrsp_4xx', 'hrsp_5xx'],
] as const;

export interface Traffic {
  sessions: number;
  total: number;
  queued: number;
  rate: number;
  bytesIn: number;
  bytesOut: number;
}

export class LiveBoard {
  readonly board = new Board();
  readonly histories = new Histories();
  readonly #options: LiveBoardOptions;
  readonly #viewers = new Set<() => void>();
  /** Which apps the servers of a proxy are. */
  #appsOf: ReadonlyMap<string, ReadonlySet<string>> = new Map();
  #look: Promise<void> | undefined;
  #cancel: (() => void) | undefined;
  #following: AbortController | undefined;

  constructor(options: LiveBoardOptions) {
    this.#options = options;
  }

  get viewers(): number {
    return this.#viewers.size;
  }

  /** Calls back after each look that found something new, until the returned function is called. */
  watch(changed: () => void): () => void {
    this.#viewers.add(changed);
    this.#follow();
    void this.now();
    return () => {
      if (!this.#viewers.delete(changed) || this.#viewers.size > 0) return;
      this.#cancel?.();
      this.#cancel = this.#options.clock.after(keptMs, () => this.#forget());
    };
  }

  /** Looks now, or waits for the look that is under way. */
  now(): Promise<void> {
    this.#look ??= this.#lookOnce();
    return this.#look;
  }

  /** Apps that are servers of these proxies. */
  appsOf(proxies: readonly string[]): ReadonlySet<string> {
    return new Set(proxies.flatMap((proxy) => [...(this.#appsOf.get(proxy) ?? [])]));
  }

  async #lookOnce(): Promise<void> {
    const {clock, log} = this.#options;
    const beganMs = clock.monotonicMs();
    const before = this.board.version;
    try {
      await this.board.replace(await this.#items());
    } catch (error) {
      log.warn({error: errorMessage(error)}, 'the dashboard could not be brought up to date');
    }
    this.#look = undefined;
    if (this.board.version !== before) for (const changed of this.#viewers) changed();
    if (this.#viewers.size === 0) return;
    this.#cancel?.();
    this.#cancel = clock.after(Math.max(lookMs, (clock.monotonicMs() - beganMs) * restShare), () => void this.now());
  }

  async #items(): Promise<[name: string, value: unknown][]> {
    const {source, control} = this.#options;
    await control.synchronize({sessions: false});
    const [apps, workers, facts, proxies] = await Promise.all([source().apps(), source().workers(), source().facts(), this.#proxies()]);
    const {version, pid, startedAtMs, maxconn, connections, nodeName, description, stopping, sessionRate} = control.process();
    const moments = [...this.#recent];
    return [
      ['gateway', {...facts, version, pid, startedAtMs, maxconn, connections, sessionRate, nodeName, description, stopping}],
      ['recent', moments],
      ['wakes', wakeCounts(this.histories.wakes())],
      ...proxies.items,
      ...workers.map((worker): [string, unknown] => [`worker/${worker.name}`, worker]),
      ...apps.map((app): [string, unknown] => [`app/${app.name}`, withTraffic(app, proxies.traffic)]),
    ];
  }

  async #proxies(): Promise<{readonly items: [string, unknown][]; readonly traffic: ReadonlyMap<string, Traffic>}> {
    const rows = new Map<string, Record<string, unknown>[]>();
    const traffic = new Map<string, Traffic>();
    const appsOf = new Map<string, Set<string>>();
    let read = 0;
    for (const row of statRows(this.#options.control)) {
      const proxy = String(row.values['pxname']);
      const list = rows.get(proxy) ?? [];
      rows.set(proxy, list);
      list.push(shownRow(row));
      const {app} = row.values;
      if (typeof app === 'string') {
        addTraffic(traffic, app, row);
        appsOf.set(proxy, (appsOf.get(proxy) ?? new Set()).add(app));
      }
      if (++read % rowsAtATime === 0) await turn();
    }
    this.#appsOf = appsOf;
    return {items: [...rows].map(([name, list]) => [`proxy/${name}`, {name, rows: list}]), traffic};
  }

  get #recent(): readonly DashboardEvent[] {
    return this.histories.recent(eventsShown);
  }

  #follow(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    if (this.#following !== undefined) return;
    const stop = new AbortController();
    this.#following = stop;
    void this.#followEvents(stop.signal);
  }

  async #followEvents(signal: AbortSignal): Promise<void> {
    const {source, clock, log} = this.#options;
    const stopped = (): boolean => signal.aborted;
    while (!stopped()) {
      try {
        if (this.histories.lastId === undefined) for (const event of await source().lastEvents(eventsRead)) this.histories.add(event);
        for await (const event of source().followEvents(this.histories.lastId, signal)) this.histories.add(event);
      } catch (error) {
        if (!stopped()) log.warn({error: errorMessage(error)}, 'the dashboard cannot follow events now');
      }
      if (!stopped()) await new Promise<void>((resolve) => void clock.after(retryMs, resolve));
    }
  }

  #forget(): void {
    this.#cancel = undefined;
    if (this.#viewers.size === 0) this.forget();
  }

  /** What was found came from others than those who will be asked. */
  forget(): void {
    this.#following?.abort();
    this.#following = undefined;
    this.histories.clear();
    this.board.clear();
  }

  /** Looks no more, whoever watches. */
  stop(): void {
    this.#viewers.clear();
    this.#cancel?.();
    this.#following?.abort();
  }
}

function shownRow({values, objectType, inMaintenance, isDown}: StatRow): Record<string, unknown> {
  const row: Record<string, unknown> = {type: objectType, ...(inMaintenance ? {maint: true} : {}), ...(isDown ? {down: true} : {})};
  for (const column of columns) {
    const value = values[column];
    if (value !== undefined && value !== null && value !== '' && value !== 0) row[column] = value;
  }
  return row;
}

function addTraffic(traffic: Map<string, Traffic>, app: string, {values}: StatRow): void {
  const sum = traffic.get(app) ?? {sessions: 0, total: 0, queued: 0, rate: 0, bytesIn: 0, bytesOut: 0};
  traffic.set(app, sum);
  const add = (column: string): number => Number(values[column] ?? 0);
  sum.sessions += add('scur');
  sum.total += add('stot');
  sum.queued += add('qcur');
  sum.rate += add('rate');
  sum.bytesIn += add('bin');
  sum.bytesOut += add('bout');
}

function withTraffic(app: AppSummary, traffic: ReadonlyMap<string, Traffic>): unknown {
  return {...app, traffic: traffic.get(app.name) ?? null};
}

/** Upper bounds of the classes, in milliseconds; what took longer is in a last one. */
export const wakeBoundsMs = [20, 30, 50, 75, 100, 150, 250, 500, 1000, 2500, 5000] as const;

export function wakeCounts(wakesMs: readonly number[]): {readonly bounds: readonly number[]; readonly counts: readonly number[]} {
  const counts = new Array<number>(wakeBoundsMs.length + 1).fill(0);
  for (const ms of wakesMs) {
    const found = wakeBoundsMs.findIndex((bound) => ms <= bound);
    const at = found === -1 ? wakeBoundsMs.length : found;
    counts[at] = (counts[at] ?? 0) + 1;
  }
  return {bounds: wakeBoundsMs, counts};
}
