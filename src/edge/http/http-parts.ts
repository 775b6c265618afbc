/** What all exchanges of an HTTP frontend share. */
import type {Clock} from '../../core/clock.ts';
import type {Counters} from '../counters.ts';
import type {HttpProbes} from '../probes/http-probes.ts';
import type {SessionContext} from '../session/session-context.ts';
import type {AddressField} from './address-fields.ts';
import type {Assignment} from './assignment.ts';
import type {MessageCaptures} from './message-captures.ts';
import type {HttpBackendProxy} from './proxies.ts';
import type {ServerPool} from './server-pool.ts';
import type {RequestRecord} from './session-record.ts';
import type {StatsAnswer} from './stats-answer.ts';
import type {Transaction, TransactionParts} from './transaction.ts';

/** A backend as one frontend uses it. */
export interface BackendUse {
  readonly backend: HttpBackendProxy;
  readonly forwardFor: AddressField | null;
  readonly originalTo: AddressField | null;
}

export interface HttpParts extends Omit<TransactionParts, 'session'> {
  /** Null: there is no such backend. */
  backend(name: string): BackendUse | null;
  readonly assignment: Assignment;
  readonly pool: ServerPool;
  /** For requests that are health checks. */
  readonly probes: HttpProbes;
  readonly clock: Clock;
  /** What is kept of a body that something waits for: `tune.bufsize`. */
  readonly bufferBytes: number;
  readonly counters: Counters;
  /** For what cannot be read. */
  readonly captures: MessageCaptures;
  readonly stats: StatsAnswer;
  /** The head of the server's answer is on its way; null: nobody wants to know. */
  readonly answering: ((record: RequestRecord, transaction: Transaction) => void) | null;
  /** A request is over; the context is that of its connection where the request was not understood. */
  finished(record: RequestRecord, context: Transaction | SessionContext): void;
}
