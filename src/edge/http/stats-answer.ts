/** What is answered by the gateway itself and known to somebody else only: its statistics, its metrics. */
import type {StatsPage} from '../../config/proxy-value.ts';
import type {LocalReply} from './reply.ts';
import type {Transaction} from './transaction.ts';

/** An answer that is not there yet, or that has no end of its own. */
export interface LaterReply {
  /** Begins to make it. Called once; `to` may be used at once. */
  begin(to: ReplyStream): ReplyWork;
}

/** Where such an answer goes. After its end, or when the client has gone, calls have no effect. */
export interface ReplyStream {
  /** All of it. */
  reply(reply: LocalReply): void;
  /** Its head; the body comes with `write()`, and ends with `end()`. */
  head(head: Omit<LocalReply, 'body' | 'isSilent'>): void;
  /** False: the client is slow; whoever goes on before `drained()` fills the memory. */
  write(chunk: Buffer): boolean;
  end(): void;
}

/** What is told of the client. */
export interface ReplyWork {
  drained(): void;
  /** The answer is over, completely or because the client has gone. Called once. */
  over(): void;
}

/** The answer of a statistics page, or of `use-service prometheus-exporter`. Null: the request is for neither. */
export type StatsAnswer = (asked: StatsPage | 'prometheus-exporter', transaction: Transaction) => LocalReply | LaterReply | null;
