/**
 * Spans to an OpenTelemetry collector: OTLP over HTTP in its JSON form, https://opentelemetry.io/docs/specs/otlp/#otlphttp. Nobody waits for it: what
 * is kept is bounded, and what a collector does not take in time is given up.
 */
import {once} from 'node:events';
import {request as httpRequest, type IncomingMessage} from 'node:http';
import {request as httpsRequest} from 'node:https';
import type {Clock} from '../core/clock.ts';
import {errorMessage} from '../core/errors.ts';
import type {Log} from '../core/log.ts';

export type Attributes = Readonly<Record<string, string | number | boolean>>;

export interface Span {
  /** 32 and 16 hexadecimal digits. */
  readonly traceId: string;
  readonly spanId: string;
  /** Null: the trace begins with it. */
  readonly parentSpanId: string | null;
  readonly name: string;
  /** Milliseconds since 1970, with fractions. */
  readonly startMs: number;
  readonly endMs: number;
  readonly attributes: Attributes;
  /** Null: it succeeded. */
  readonly error: string | null;
}

export interface OtlpOptions {
  /** Where traces go, with the path. */
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Of whoever sends. */
  readonly resource: Attributes;
  readonly clock: Clock;
  readonly log: Log;
}

const maxSpans = 2048;
const batchSpans = 512;
const flushMs = 1000;
const longestPauseMs = 30_000;
const answerMs = 5000;
/** What is left is sent when the gateway ends, within this time. */
const lastFlushMs = 1000;
/** It may take them later (the specification's list); other refusals are for good. */
const passingStatuses: readonly number[] = [429, 502, 503, 504];
const internalKind = 1;
const errorStatus = 2;

export class OtlpExporter implements AsyncDisposable {
  readonly #options: OtlpOptions;
  #waiting: Span[] = [];
  #cancel: (() => void) | null = null;
  #sending: Promise<void> | null = null;
  #pauseMs = flushMs;
  #isRefused = false;
  #isClosed = false;
  #dropped = 0;

  constructor(options: OtlpOptions) {
    this.#options = options;
  }

  /** Spans that were given up. */
  get dropped(): number {
    return this.#dropped;
  }

  add(spans: readonly Span[]): void {
    if (this.#isClosed) return;
    const room = maxSpans - this.#waiting.length;
    this.#waiting.push(...spans.slice(0, room));
    this.#dropped += Math.max(0, spans.length - room);
    this.#cancel ??= this.#options.clock.after(this.#pauseMs, () => void this.#flush(answerMs));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.#sending;
    const deadlineMs = this.#options.clock.monotonicMs() + lastFlushMs;
    while (this.#waiting.length > 0 && !this.#isRefused && this.#options.clock.monotonicMs() < deadlineMs) await this.#flush(lastFlushMs);
    this.#cancel?.();
  }

  async #flush(timeoutMs: number): Promise<void> {
    this.#cancel?.();
    this.#sending ??= this.#send(timeoutMs).finally(() => {
      this.#sending = null;
      this.#cancel = this.#waiting.length === 0 || this.#isClosed ? null : this.#options.clock.after(this.#pauseMs, () => void this.#flush(answerMs));
    });
    await this.#sending;
  }

  /** Never throws. */
  async #send(timeoutMs: number): Promise<void> {
    const batch = this.#waiting.slice(0, batchSpans);
    try {
      const status = await this.#post(JSON.stringify(exportRequest(batch, this.#options.resource)), timeoutMs);
      if (passingStatuses.includes(status)) throw new Error(`it answers with ${status}`);
      this.#waiting = this.#waiting.slice(batch.length);
      this.#pauseMs = flushMs;
      if (status < 200 || status > 299) {
        this.#dropped += batch.length;
        this.#refused(`it answers with ${status}`);
      } else if (this.#isRefused) {
        this.#isRefused = false;
        this.#options.log.info({url: this.#options.url, dropped: this.#dropped}, 'the collector of traces answers again');
      }
    } catch (error) {
      this.#pauseMs = Math.min(longestPauseMs, this.#pauseMs * 2);
      this.#refused(errorMessage(error));
    }
  }

  /** Told once, until it goes well again. */
  #refused(reason: string): void {
    if (!this.#isRefused)
      this.#options.log.warn({url: this.#options.url, reason}, 'the collector does not take traces; they are kept for a while, then given up');
    this.#isRefused = true;
  }

  async #post(body: string, timeoutMs: number): Promise<number> {
    const {url, headers} = this.#options;
    const request = url.startsWith('https:') ? httpsRequest : httpRequest;
    const posted = request(url, {
      method: 'POST',
      headers: {...headers, 'content-type': 'application/json', 'content-length': Buffer.byteLength(body), connection: 'close'},
      signal: AbortSignal.timeout(timeoutMs),
    });
    const answered = once(posted, 'response') as Promise<[IncomingMessage]>;
    posted.end(body);
    const [answer] = await answered;
    answer.on('error', () => {
      // Its status is known.
    });
    answer.resume();
    return answer.statusCode ?? 0;
  }
}

/** ExportTraceServiceRequest in the JSON form of Protocol Buffers: 64-bit numbers are texts, identifiers hexadecimal. */
function exportRequest(spans: readonly Span[], resource: Attributes): unknown {
  const scope = {name: 'picogate', version: resource['service.version']};
  return {resourceSpans: [{resource: {attributes: attributeList(resource)}, scopeSpans: [{scope, spans: spans.map(spanJson)}]}]};
}

function spanJson({traceId, spanId, parentSpanId, name, startMs, endMs, attributes, error}: Span): unknown {
  return {
    traceId,
    spanId,
    ...(parentSpanId === null ? {} : {parentSpanId}),
    name,
    kind: internalKind,
    startTimeUnixNano: nanoseconds(startMs),
    endTimeUnixNano: nanoseconds(endMs),
    attributes: attributeList(attributes),
    status: error === null ? {} : {code: errorStatus, message: error},
  };
}

function nanoseconds(ms: number): string {
  return String(BigInt(Math.round(ms * 1000)) * 1000n);
}

function attributeList(attributes: Attributes): unknown[] {
  return Object.entries(attributes).map(([key, value]) => ({key, value: attributeValue(value)}));
}

function attributeValue(value: Attributes[string]): unknown {
  if (typeof value === 'string') return {stringValue: value};
  if (typeof value === 'boolean') return {boolValue: value};
  return Number.isInteger(value) ? {intValue: String(value)} : {doubleValue: value};
}
