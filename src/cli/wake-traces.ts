/** Each wake as a trace: a span of the whole, and one of each phase below it. Made of the events that are published anyway. */
import {randomBytes} from 'node:crypto';
import {hostname} from 'node:os';
import type {Config} from '../config/value.ts';
import {systemClock} from '../core/clock.ts';
import type {Log} from '../core/log.ts';
import type {Event, Events} from '../store/events.ts';
import type {Json} from '../store/json.ts';
import {type Attributes, OtlpExporter, type Span} from './otlp-exporter.ts';
import {version} from './version.ts';

interface Endpoint {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Where traces go: as `otlp` says, else as OpenTelemetry's own variables do; null: nowhere. */
export function otlpEndpoint(configured: string | null, env: Environment): Endpoint | null {
  const base = configured ?? env['OTEL_EXPORTER_OTLP_ENDPOINT'];
  const traces = configured === null ? env['OTEL_EXPORTER_OTLP_TRACES_ENDPOINT'] : undefined;
  const url = traces || (base ? `${base.replace(/\/+$/, '')}/v1/traces` : undefined);
  if (url === undefined || !URL.canParse(url)) return null;
  return {url, headers: headersIn(env['OTEL_EXPORTER_OTLP_TRACES_HEADERS'] ?? env['OTEL_EXPORTER_OTLP_HEADERS'] ?? '')};
}

/** `name=value,name=value`, the values with percent signs as in URLs. */
function headersIn(text: string): Record<string, string> {
  const pairs = text.split(',').map((pair) => /^\s*([^=\s]+)\s*=\s*(.*?)\s*$/.exec(pair));
  return Object.fromEntries(pairs.flatMap((pair) => (pair === null ? [] : [[pair[1] ?? '', decodeURIComponent(pair[2] ?? '')]])));
}

/** The same events; where a collector is configured, wakes among them are told to it. Disposing sends what is left. */
export function tracingWakes(
  events: Events,
  {otlp, worker}: Config['global'],
  {env, log}: {readonly env: Environment; readonly log: Log},
): Events & AsyncDisposable {
  const endpoint = otlpEndpoint(otlp, env);
  if (endpoint === null) return {...events, [Symbol.asyncDispose]: () => Promise.resolve()};
  const resource = {'service.name': env['OTEL_SERVICE_NAME'] || 'picogate', 'service.version': version, 'host.name': hostname()};
  const exporter = new OtlpExporter({
    ...endpoint,
    resource: worker === null ? resource : {...resource, 'service.instance.id': worker.name},
    clock: systemClock,
    log,
  });
  return {
    ...events,
    publish(event) {
      exporter.add(wakeSpans(event));
      return events.publish(event);
    },
    [Symbol.asyncDispose]: () => exporter[Symbol.asyncDispose](),
  };
}

/** None of other events, and of wakes for a request whose trace nobody records. */
export function wakeSpans(event: Event): Span[] {
  const {app, kind} = event;
  if (app === null || (kind !== 'woken' && !(kind === 'error' && event['during'] === 'wake'))) return [];
  const parent = parentIn(event['traceparent']);
  if (parent?.isSampled === false) return [];
  const number = (name: string): number => numberOf(event[name]) ?? 0;
  const [traceId, spanId] = [parent?.traceId ?? newId(16), newId(8)];
  const begunMs = kind === 'woken' ? event.at : event.at - number('ms');
  const endMs = begunMs + number('ms');
  const whole: Span = {
    traceId,
    spanId,
    parentSpanId: parent?.spanId ?? null,
    name: 'wake',
    startMs: begunMs - number('holdMs'),
    endMs,
    attributes: attributesOf(event, app),
    error: kind === 'woken' ? null : textOf(event['message']),
  };
  if (kind !== 'woken') return [whole];
  const phase = (name: string, fromMs: number, toMs: number): Span => ({
    ...whole,
    spanId: newId(8),
    parentSpanId: spanId,
    name,
    startMs: fromMs,
    endMs: toMs,
    attributes: {'picogate.app': app},
  });
  const restoredMs = begunMs + number('restoreMs');
  const pagesMs = numberOf(event['pagesMs']);
  const pagesFromMs = begunMs + number('pagesFromMs');
  return [
    whole,
    phase('hold', whole.startMs, begunMs),
    phase('place', begunMs, begunMs + number('placeMs')),
    phase(event['cold'] === 1 ? 'start' : 'restore', begunMs, restoredMs),
    ...(pagesMs === null ? [] : [phase('pages', pagesFromMs, pagesFromMs + pagesMs)]),
    phase('ready', restoredMs, restoredMs + number('readyMs')),
  ];
}

function attributesOf(event: Event, app: string): Attributes {
  const pages = numberOf(event['predictedPages']);
  const faults = numberOf(event['faults']);
  return {
    'picogate.app': app,
    'picogate.trigger': textOf(event['trigger']),
    ...(event.kind === 'woken' ? {'picogate.start': event['cold'] === 1 ? 'files' : 'checkpoint'} : {}),
    ...(pages === null ? {} : {'picogate.pages.predicted': pages}),
    ...(faults === null ? {} : {'picogate.pages.faulted': faults}),
  };
}

/** W3C's Trace Context; null: a trace of its own. */
function parentIn(value: Json | undefined): {readonly traceId: string; readonly spanId: string; readonly isSampled: boolean} | null {
  const [, traceId = '', spanId = '', flags = ''] =
    /^(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?$/.exec(typeof value === 'string' ? value : '') ?? [];
  if (traceId === '' || /^0+$/.test(traceId) || /^0+$/.test(spanId)) return null;
  return {traceId, spanId, isSampled: (Number.parseInt(flags, 16) & 1) === 1};
}

function newId(bytes: number): string {
  return randomBytes(bytes).toString('hex');
}

function numberOf(value: Json | undefined): number | null {
  return typeof value === 'number' ? value : null;
}

function textOf(value: Json | undefined): string {
  return typeof value === 'string' ? value : '';
}
