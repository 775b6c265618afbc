/** Wakes as traces. test/e2e/edge-apps.test.ts has those of a gateway. */
import test from 'ava';
import {OtlpExporter, type Span} from '../../src/cli/otlp-exporter.ts';
import {otlpEndpoint, wakeSpans} from '../../src/cli/wake-traces.ts';
import {type Clock, systemClock} from '../../src/core/clock.ts';
import {createLog} from '../../src/core/log.ts';
import {otlpCollector} from '../helpers/otlp-collector.ts';
import {until} from '../helpers/until.ts';

const at = 1_700_000_000_000;
const parent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
const woken = {
  at,
  app: 'wiki',
  kind: 'woken',
  ms: 50,
  trigger: 'tcp/80 GET /wiki from 192.0.2.1',
  predictedPages: 100,
  faults: 3,
  cold: 0,
  holdMs: 7,
  placeMs: 2,
  restoreMs: 40,
  readyMs: 10,
  pagesFromMs: 5,
  pagesMs: 12.5,
};

/** Pauses are short. */
const quick: Clock = {...systemClock, after: (delayMs, callback) => systemClock.after(delayMs / 50, callback)};

function exporterTo(url: string, log = createLog('silent')): OtlpExporter {
  return new OtlpExporter({
    url: `${url}/v1/traces`,
    headers: {'x-key': 'k'},
    resource: {'service.name': 'picogate', 'service.version': '1'},
    clock: quick,
    log,
  });
}

function byName(spans: readonly Span[]): Record<string, [from: number, to: number]> {
  return Object.fromEntries(spans.map(({name, startMs, endMs}) => [name, [startMs - at, endMs - at]]));
}

test('a wake is a span with its phases below it', (t) => {
  const spans = wakeSpans(woken);
  t.deepEqual(byName(spans), {wake: [-7, 50], hold: [-7, 0], place: [0, 2], restore: [0, 40], pages: [5, 17.5], ready: [40, 50]});
  const [whole, ...phases] = spans;
  t.is(whole?.parentSpanId, null);
  t.true(phases.every(({traceId, parentSpanId}) => traceId === whole?.traceId && parentSpanId === whole.spanId));
  t.is(new Set(spans.map(({spanId}) => spanId)).size, spans.length);
  t.deepEqual(Object.keys(byName(wakeSpans({...woken, cold: 1, pagesMs: null}))), ['wake', 'hold', 'place', 'start', 'ready']);
});

test('a wake that fails is one span with the reason, and other events are none', (t) => {
  const spans = wakeSpans({at, app: 'wiki', kind: 'error', message: 'no', during: 'wake', ms: 20, holdMs: 1, trigger: 'operator'});
  t.deepEqual(byName(spans), {wake: [-21, 0]});
  t.is(spans[0]?.error, 'no');
  t.deepEqual(wakeSpans({at, app: 'wiki', kind: 'error', message: 'no'}), []);
  t.deepEqual(wakeSpans({at, app: 'wiki', kind: 'hibernated', ms: 2}), []);
});

test('the trace of the request goes on, if it is recorded', (t) => {
  t.like(wakeSpans({...woken, traceparent: parent})[0], {traceId: '0af7651916cd43dd8448eb211c80319c', parentSpanId: 'b7ad6b7169203331'});
  t.deepEqual(wakeSpans({...woken, traceparent: parent.replace(/01$/, '00')}), []);
  for (const wrong of ['', 'x', parent.toUpperCase(), `ff${parent.slice(2)}`, parent.replace(/0af\w+/, '0'.repeat(32))])
    t.is(wakeSpans({...woken, traceparent: wrong})[0]?.parentSpanId, null, wrong);
});

test('the configuration comes before the environment', (t) => {
  t.is(otlpEndpoint(null, {}), null);
  t.is(otlpEndpoint('http://c:4318/', {OTEL_EXPORTER_OTLP_ENDPOINT: 'http://d'})?.url, 'http://c:4318/v1/traces');
  t.is(otlpEndpoint(null, {OTEL_EXPORTER_OTLP_ENDPOINT: 'http://d:1/x'})?.url, 'http://d:1/x/v1/traces');
  t.is(otlpEndpoint(null, {OTEL_EXPORTER_OTLP_ENDPOINT: 'http://d', OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://e/t'})?.url, 'http://e/t');
  t.deepEqual(otlpEndpoint('http://c', {OTEL_EXPORTER_OTLP_HEADERS: 'a=b%20c, d=e'})?.headers, {a: 'b c', d: 'e'});
});

test('a collector gets spans as OTLP has them, again when it was busy, and the last ones at the end', async (t) => {
  await using collector = await otlpCollector();
  const exporter = exporterTo(collector.url);
  collector.status = 503;
  exporter.add(wakeSpans({...woken, traceparent: parent}));
  await until(() => collector.headers.length > 0);
  collector.status = 200;
  await until(() => collector.spans.length === 6);
  t.is(collector.headers.at(-1)?.['x-key'], 'k');
  exporter.add(wakeSpans(woken));
  await exporter[Symbol.asyncDispose]();
  t.is(collector.spans.length, 12);
  t.deepEqual(collector.problems, []);
  t.is(exporter.dropped, 0);
  t.deepEqual(collector.spans[0]?.attributes.find(({key}) => key === 'picogate.pages.predicted')?.value, {intValue: '100'});
  t.is(collector.spans[0]?.startTimeUnixNano, `${at - 7}000000`);
});

test('a dead collector costs a line of the log and bounded memory', async (t) => {
  const gone = await otlpCollector();
  await gone[Symbol.asyncDispose]();
  const lines: string[] = [];
  const log = createLog('silent');
  log.warn = ((_fields: unknown, message: string) => lines.push(message)) as unknown as typeof log.warn;
  const exporter = exporterTo(gone.url, log);
  for (let at = 0; at < 500; at++) exporter.add(wakeSpans(woken));
  await until(() => lines.length > 0);
  t.is(exporter.dropped, 500 * 6 - 2048);
  await new Promise((resolve) => setTimeout(resolve, 200));
  t.is(lines.length, 1);
  await exporter[Symbol.asyncDispose]();
});
