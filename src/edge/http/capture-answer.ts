import type {HttpParts} from './http-parts.ts';
import type {ServerFailure} from './message.ts';
import type {Transaction} from './transaction.ts';

/** Keeps what a server has answered, where that is why it failed. */
export function captureAnswer({unread, reason}: ServerFailure, transaction: Transaction, {captures, clock, frontend}: HttpParts): void {
  if (unread === undefined) return;
  const {backend, server, session} = transaction;
  captures.keep('response', {...unread, reason, source: session.facts.source, frontend: frontend.config.name, backend, server}, clock.nowMs());
}
