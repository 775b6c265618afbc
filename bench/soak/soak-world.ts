/** What clients, disturbances and rests share: the gateway, what was seen of it, and who may do something now. */
import {setTimeout as sleep} from 'node:timers/promises';
import {until} from '../../test/helpers/until.ts';
import {Ledger, type Span} from './ledger.ts';
import type {SoakPorts, Writer} from './soak-apps.ts';
import type {SoakGateway} from './soak-gateway.ts';

/** After a disturbance is over, what it broke may refuse clients for so long. */
const graceMs = 3000;
const restTimeoutMs = 120_000;

/** How many answers there were, and refusals by what had disturbed the app and by what the client saw. */
export interface Tally {
  answers: number;
  readonly refusals: Map<string, number>;
  /** By kind. */
  readonly steps: Map<string, number>;
  /** What must not be. */
  readonly violations: string[];
}

/** What refusals are counted under that have no cause but a wake that took too long. */
export const undisturbed = 'nothing';

export interface SoakWorld {
  readonly gateway: SoakGateway;
  readonly ports: SoakPorts;
  readonly ledgers: Readonly<Record<Writer, Ledger>>;
  readonly tally: Tally;
  readonly nowMs: () => number;
  /** Never given twice. */
  readonly nextValue: () => string;
  answered(): void;
  /** A client was told that it gets no answer. */
  refused(why: string, span: Span): void;
  readonly violation: (what: string) => void;
  /** Clients leave. */
  end(): void;
  isOver(): boolean;
  /** Something after which clients may be refused for a while. */
  disturb<Result>(what: string, act: () => Promise<Result>): Promise<Result>;
  /** Resolves when clients may ask. */
  untilTraffic(): Promise<void>;
  /** A client asks meanwhile. */
  during(ask: () => Promise<void>): Promise<void>;
  /** No client asks meanwhile, and no disturbance has an effect. */
  rest(act: () => Promise<void>): Promise<void>;
}

interface Disturbance {
  readonly what: string;
  readonly fromMs: number;
  toMs: number;
}

export function soakWorld(gateway: SoakGateway, ports: SoakPorts): SoakWorld {
  const startedMs = performance.now();
  const nowMs = (): number => Math.round(performance.now() - startedMs);
  const disturbances: Disturbance[] = [];
  const tally: Tally = {answers: 0, refusals: new Map(), steps: new Map(), violations: []};
  const violation = (what: string): void => void tally.violations.push(`${nowMs()} ${what}`);
  let written = 0;
  let isOver = false;
  let asking = 0;
  let traffic: PromiseWithResolvers<void> | null = null;
  return {
    gateway,
    ports,
    ledgers: {notes: new Ledger(), journal: new Ledger(), cache: new Ledger()},
    tally,
    nowMs,
    nextValue: () => String(++written),
    end() {
      isOver = true;
    },
    isOver: () => isOver,
    answered() {
      tally.answers++;
    },
    refused(why, {fromMs, toMs}) {
      const cause = disturbances.findLast((one) => one.fromMs <= toMs && one.toMs + graceMs >= fromMs)?.what;
      const key = `${cause ?? undisturbed}: ${why}`;
      tally.refusals.set(key, (tally.refusals.get(key) ?? 0) + 1);
    },
    violation,
    async disturb(what, act) {
      const disturbance = {what, fromMs: nowMs(), toMs: Number.POSITIVE_INFINITY};
      disturbances.push(disturbance);
      try {
        return await act();
      } finally {
        disturbance.toMs = nowMs();
      }
    },
    untilTraffic: async () => traffic?.promise,
    async during(ask) {
      asking++;
      try {
        await ask();
      } finally {
        asking--;
      }
    },
    async rest(act) {
      traffic = Promise.withResolvers();
      try {
        await until(() => asking === 0, {timeoutMs: restTimeoutMs, what: 'the last answers'});
        await sleep(Math.max(0, (disturbances.at(-1)?.toMs ?? Number.NEGATIVE_INFINITY) + graceMs - nowMs()));
        await act();
      } finally {
        traffic.resolve();
        traffic = null;
      }
    },
  };
}
