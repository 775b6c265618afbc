/**
 * The request that rules ask about. In mode http it is given; in mode tcp it is what the first bytes hold, if they are HTTP/1: then the fetches
 * of mode http work there too, as they do in HAProxy.
 */
import type {RequestFacts, SampleContext} from './context.ts';
import {mayChange} from './fetch.ts';
import {latin1} from './value.ts';

export type RequestHead = {readonly kind: 'complete'; readonly request: RequestFacts} | {readonly kind: 'incomplete'} | {readonly kind: 'none'};

const maxHeadBytes = 65_536;
/** All that is here of a method, or a method and its space. */
const methodStart = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{0,24}( |$)/;
const token = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

/** What was parsed of a context's payload, for the next fetch on the same bytes. */
const parsed = new WeakMap<SampleContext, {readonly payload: Uint8Array; readonly length: number; readonly head: RequestHead}>();

/** Null: there is none, or not yet (then the context is undecided). */
export function requestOf(context: SampleContext): RequestFacts | null {
  if (context.request !== null) return context.request;
  const head = payloadHead(context);
  if (head.kind === 'complete') return head.request;
  if (head.kind === 'incomplete') mayChange(context);
  return null;
}

export function payloadHead(context: SampleContext): RequestHead {
  if (context.connection.protocol === 'udp') return {kind: 'none'};
  const {payload} = context;
  const known = parsed.get(context);
  if (known?.payload === payload && known.length === payload.length) return known.head;
  const head = parseRequestHead(payload);
  parsed.set(context, {payload, length: payload.length, head});
  return head;
}

/** RFC 9112, sections 2 and 3, strictly: whoever wants leniency must not decide by it. */
export function parseRequestHead(payload: Uint8Array): RequestHead {
  const text = latin1(payload.subarray(0, maxHeadBytes));
  const lineEnd = text.indexOf('\n');
  if (!methodStart.test(text)) return {kind: 'none'};
  if (lineEnd < 0) return text.length < maxHeadBytes ? {kind: 'incomplete'} : {kind: 'none'};
  const line = /^(\S+) ([!-\xff]+) HTTP\/(\d\.\d)\r?$/.exec(text.slice(0, lineEnd));
  const [, method = '', uri = '', version = ''] = line ?? [];
  if (!token.test(method)) return {kind: 'none'};
  const end = /\n\r?\n/.exec(text.slice(lineEnd));
  if (end === null) return text.length < maxHeadBytes ? {kind: 'incomplete'} : {kind: 'none'};
  const headers: (readonly [string, string])[] = [];
  for (const field of text.slice(lineEnd + 1, lineEnd + end.index).split('\n')) {
    if (field.trim() === '') continue;
    const colon = field.indexOf(':');
    const name = field.slice(0, Math.max(colon, 0));
    if (!token.test(name)) return {kind: 'none'};
    headers.push([name, field.slice(colon + 1).trim()]);
  }
  return {kind: 'complete', request: {method, uri, version, headers, body: null}};
}
