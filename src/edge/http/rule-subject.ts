/** What rules need of a transaction. */
import type {SampleContext} from '../samples/context.ts';
import type {StickTable} from '../stick/stick-table.ts';
import type {Header, RequestHead} from './message.ts';
import type {LocalReply} from './reply.ts';

export interface RuleSubject extends SampleContext {
  readonly request: RequestHead & {readonly body: Uint8Array | null};
  /** Of `early-hint` rules: not sent yet, since more of them follow. */
  hints: Header[];
  readonly captures: (string | null)[];
  /** Of `set-timeout`, in milliseconds; null: as configured. */
  readonly timeouts: {client: number | null; server: number | null; tunnel: number | null};
  /** Of `set-log-level`. */
  logLevel: string | null;
  readonly errorPage: (status: number) => LocalReply;
  /** Of this request; its connection keeps what it has. */
  setAddress(side: 'source' | 'destination', address: {readonly host: string; readonly port: number}): void;
  track(counter: number, table: StickTable, key: string): void;
}
