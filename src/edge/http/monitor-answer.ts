/** `monitor-uri`: a page that tells whoever watches the frontend how it is. */
import type {LocalReply} from './reply.ts';
import {splitTarget} from './target.ts';
import type {Transaction} from './transaction.ts';

/** Null: the request is for something else. */
export function monitorAnswer(transaction: Transaction): LocalReply | null {
  const {config, monitorFails} = transaction.frontend;
  const {uri} = transaction.request;
  // One that does not begin with a slash is compared with the whole target.
  if (config.monitorUri === null || (config.monitorUri.startsWith('/') ? splitTarget(uri).path : uri) !== config.monitorUri) return null;
  // HAProxy's manual, `monitor-uri`: no line about it.
  transaction.logLevel = 'silent';
  return transaction.errorPage(monitorFails.some((fails) => fails(transaction)) ? 503 : 200);
}
