/** `option jsonlog`: a line as one JSON object. What is not known, or does not apply, is left out. */
import type {SampleContext} from '../samples/context.ts';
import {capturesOf} from '../samples/fetch-internal.ts';
import type {SessionRecord} from './session-record.ts';

/** @returns a string of bytes, as compiled formats yield it */
export function jsonLine(context: SampleContext & {readonly record: SessionRecord}): string {
  const {record} = context;
  const fields = {...connectionFields(context), ...requestFields(context), ...resultFields(record), ...timeFields(record), ...wakeFields(record)};
  const known = Object.entries(fields).filter(([, value]) => value !== null && value !== undefined);
  return Buffer.from(JSON.stringify(Object.fromEntries(known))).toString('latin1');
}

type Fields = Readonly<Record<string, unknown>>;

function connectionFields({connection, record, uniqueId}: SampleContext & {readonly record: SessionRecord}): Fields {
  const {frontend, source, destination, tls, failure} = connection;
  return {
    time: new Date(frontend.mode === 'http' ? record.times.requestAtMs : record.times.acceptedAtMs).toISOString(),
    frontend: frontend.name,
    mode: frontend.mode,
    client_ip: source.host,
    client_port: source.port,
    frontend_ip: destination.host,
    frontend_port: destination.port,
    tls_version: tls?.version,
    tls_cipher: tls?.cipher,
    tls_sni: tls?.sni,
    unique_id: uniqueId,
    error: failure?.text,
  };
}

function requestFields(context: SampleContext & {readonly record: SessionRecord}): Fields {
  const {request} = context.record;
  const captured = (of: 'request' | 'response'): readonly (string | null)[] | null => {
    const values = context.captures.length === 0 ? [] : capturesOf(context, of);
    return values.length === 0 ? null : values.map((value) => (value === null ? null : text(value)));
  };
  return {
    method: request === null ? null : text(request.method),
    uri: request === null ? null : text(request.uri),
    http_version: request?.version,
    captured_request: captured('request'),
    captured_response: captured('response'),
  };
}

function resultFields({backend, server, serverAddress, status, counts, termination, ...record}: SessionRecord): Fields {
  return {
    backend,
    server,
    server_ip: serverAddress?.host,
    server_port: serverAddress?.port,
    status: status === 0 ? null : status,
    bytes_received: record.bytesFromClient,
    bytes_sent: record.bytesFromServer,
    termination,
    retries: counts.retries,
    redispatched: counts.redispatched ? true : null,
  };
}

/** Milliseconds. */
function timeFields({times}: SessionRecord): Fields {
  return {
    handshake_ms: times.handshakeMs,
    idle_ms: times.idleMs,
    request_ms: times.requestMs,
    wait_ms: times.waitMs,
    connect_ms: times.connectMs,
    response_ms: times.responseMs,
    active_ms: times.activeMs,
    total_ms: times.totalMs,
  };
}

function wakeFields({wake}: SessionRecord): Fields {
  return {wake_app: wake?.app, wake_ms: wake?.ms, wake_trigger: wake === null ? null : text(wake.trigger)};
}

/** What came as bytes, as UTF-8 where it is that. */
function text(bytes: string): string {
  return Buffer.from(bytes, 'latin1').toString();
}
