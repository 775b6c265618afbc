/** What waits for the body of a request before it goes on: rules, `option http-buffer-request`, and `balance url_param`. */
import type {Balance, ProxyBase} from '../../config/proxy-value.ts';
import type {Clock} from '../../core/clock.ts';
import {withoutHeader} from './message.ts';
import type {RequestBody} from './request-body.ts';
import type {Transaction} from './transaction.ts';

export interface BodyWait {
  /** Null: as long as the client may be silent. */
  readonly timeMs: number | null;
  /** 0: all of it, or as much as is kept. */
  readonly atLeastBytes: number;
}

export interface WaitingRequest {
  readonly body: RequestBody;
  readonly transaction: Transaction;
  readonly clock: Clock;
  /** It is here; called at once when it is already. */
  readonly next: () => void;
  readonly late: () => void;
}

/** @returns what gives up the deadline; null: nothing is waited for */
export function waitForBody({timeMs, atLeastBytes}: BodyWait, {body, transaction, clock, next, late}: WaitingRequest): (() => void) | null {
  const {request} = transaction;
  if (body.expectsContinue) request.headers = withoutHeader(request.headers, 'expect');
  const goOn = (): void => {
    request.body = body.buffered();
    next();
  };
  if (body.has(atLeastBytes)) {
    goOn();
    return null;
  }
  const giveUp = (): void => {
    body.stopWaiting();
    late();
  };
  const cancel = timeMs === null ? () => undefined : clock.after(timeMs, giveUp);
  body.waitFor(atLeastBytes, () => {
    cancel();
    goOn();
  });
  return cancel;
}

/** All of it, for as long as the head of a request may take. */
export function wholeBody({frontend, destination}: Transaction): BodyWait {
  return {timeMs: (destination ?? frontend).config.httpRequestTimeoutMs, atLeastBytes: 0};
}

/** `option http-buffer-request`. What comes after a CONNECT is no body. */
export function isBuffered({buffersRequests}: Pick<ProxyBase, 'buffersRequests'>, {request}: Transaction): boolean {
  return buffersRequests && request.method !== 'CONNECT';
}

/** `balance url_param`: the parameter of a POST may be in its body, unless something else says where it goes. */
export function mayNameServer(
  balance: Balance,
  {request}: Transaction,
  {preferred, stuckTo}: {readonly preferred: readonly string[]; readonly stuckTo: number | null},
): boolean {
  return balance.kind === 'url_param' && request.method === 'POST' && preferred.length === 0 && stuckTo === null;
}
