/** What an OpenTelemetry collector does with traces: takes them over HTTP, and refuses what is not an ExportTraceServiceRequest. */
import {once} from 'node:events';
import {createServer} from 'node:http';
import type {AddressInfo} from 'node:net';

export interface CollectedSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes: readonly {readonly key: string; readonly value: Readonly<Record<string, unknown>>}[];
  readonly status: {readonly code?: number; readonly message?: string};
}

export interface Collector extends AsyncDisposable {
  readonly url: string;
  readonly spans: CollectedSpan[];
  readonly headers: Readonly<Record<string, unknown>>[];
  /** What it answers; 200 at first. */
  status: number;
  /** What was wrong with what came. */
  readonly problems: string[];
}

const spanFields: readonly (readonly [name: string, pattern: RegExp])[] = [
  ['traceId', /^[0-9a-f]{32}$/],
  ['spanId', /^[0-9a-f]{16}$/],
  ['parentSpanId', /^(?:[0-9a-f]{16})?$/],
  ['name', /./],
  ['kind', /^[1-5]$/],
  ['startTimeUnixNano', /^\d{19}$/],
  ['endTimeUnixNano', /^\d{19}$/],
];
/** trace.proto; a collector ignores others, so that a name that is misspelt would be lost in silence. */
const knownFields = [...spanFields.map(([name]) => name), 'attributes', 'status'];

type Fields = Readonly<Record<string, unknown>>;

function list(value: unknown): Fields[] {
  if (!Array.isArray(value)) throw new Error(`no list: ${JSON.stringify(value)}`);
  return value as Fields[];
}

function checkAttributes(attributes: unknown): void {
  for (const {key, value} of list(attributes)) {
    const [kind = '', ...more] = Object.keys(value as Fields);
    const isRight = typeof key === 'string' && ['stringValue', 'boolValue', 'intValue', 'doubleValue'].includes(kind) && more.length === 0;
    if (!isRight) throw new Error(`no attribute: ${JSON.stringify({key, value})}`);
    if (kind === 'intValue' && typeof (value as Fields)['intValue'] !== 'string') throw new Error('a 64-bit number is a text');
  }
}

function textOf(value: unknown): string {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : '';
}

function spansIn(body: string): CollectedSpan[] {
  const spans = list((JSON.parse(body) as Fields)['resourceSpans']).flatMap(({resource, scopeSpans}) => {
    checkAttributes((resource as Fields)['attributes']);
    return list(scopeSpans).flatMap(({scope, spans: some}) => {
      if (typeof (scope as Fields)['name'] !== 'string') throw new Error('the scope has no name');
      return list(some);
    });
  });
  for (const span of spans) {
    const unknown = Object.keys(span).filter((name) => !knownFields.includes(name));
    if (unknown.length > 0) throw new Error(`unknown fields: ${unknown.join(', ')}`);
    for (const [name, pattern] of spanFields) if (!pattern.test(textOf(span[name]))) throw new Error(`${name} is ${JSON.stringify(span[name])}`);
    if (BigInt(String(span['endTimeUnixNano'])) < BigInt(String(span['startTimeUnixNano']))) throw new Error('it ends before it begins');
    checkAttributes(span['attributes']);
  }
  return spans as unknown as CollectedSpan[];
}

export async function otlpCollector(): Promise<Collector> {
  const spans: CollectedSpan[] = [];
  const problems: string[] = [];
  const headers: Fields[] = [];
  const state = {status: 200};
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      headers.push(request.headers);
      if (request.method !== 'POST' || request.url !== '/v1/traces' || request.headers['content-type'] !== 'application/json')
        problems.push(`${request.method ?? ''} ${request.url ?? ''} ${request.headers['content-type'] ?? ''}`);
      try {
        if (state.status === 200) spans.push(...spansIn(Buffer.concat(chunks).toString()));
      } catch (error) {
        problems.push(String(error));
      }
      response.writeHead(state.status, {'content-type': 'application/json'}).end('{}');
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    spans,
    problems,
    headers,
    get status() {
      return state.status;
    },
    set status(status: number) {
      state.status = status;
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
