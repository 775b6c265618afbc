/** Passive health checks: errors that traffic meets at a server, one after the other without a success in between (HAProxy manual, `observe`). */
import type {PassiveChecks} from '../../config/health.ts';

interface Meaning {
  /** As HAProxy words it. */
  readonly text: string;
  /** What it is to each layer; null: it says nothing there. */
  readonly layer4: 'good' | 'bad' | null;
  readonly layer7: 'good' | 'bad' | null;
}

const meanings = {
  connected: {text: 'L4 successful connection', layer4: 'good', layer7: null},
  unconnected: {text: 'L4 unsuccessful connection', layer4: 'bad', layer7: 'bad'},
  answered: {text: 'Correct http response', layer4: null, layer7: 'good'},
  'wrong-status': {text: 'Wrong http response', layer4: null, layer7: 'bad'},
  'bad-head': {text: 'Invalid http response (headers)', layer4: null, layer7: 'bad'},
  'bad-body': {text: 'Invalid http response', layer4: null, layer7: 'bad'},
  'read-error': {text: 'Read error (http)', layer4: null, layer7: 'bad'},
  late: {text: 'Read timeout (http)', layer4: null, layer7: 'bad'},
  closed: {text: 'Close from server (http)', layer4: null, layer7: 'bad'},
} as const satisfies Record<string, Meaning>;

/** What a session or a request has met at its server. */
export type Observation = keyof typeof meanings;

export class TrafficObserver {
  readonly #config: PassiveChecks;
  readonly #tooMany: (info: string) => void;
  #errors = 0;

  /** @param tooMany called at the last of `error-limit` errors in a row, with HAProxy's words for them */
  constructor(config: PassiveChecks, tooMany: (info: string) => void) {
    this.#config = config;
    this.#tooMany = tooMany;
  }

  see(what: Observation): void {
    const meaning: Meaning = meanings[what];
    const verdict = meaning[this.#config.layer];
    if (verdict === 'good') this.#errors = 0;
    if (verdict !== 'bad' || ++this.#errors < this.#config.errorLimit) return;
    const errors = this.#errors;
    this.#errors = 0;
    this.#tooMany(`Detected ${errors} consecutive errors, last one was: ${meaning.text}`);
  }

  /** A check has found it well, or the app sleeps: what was before counts no more. */
  forget(): void {
    this.#errors = 0;
  }
}

/** Of an answer. 501 and 505 are what a client has asked for. */
export function observedStatus(status: number): Observation {
  return status >= 100 && (status < 500 || status === 501 || status === 505) ? 'answered' : 'wrong-status';
}
