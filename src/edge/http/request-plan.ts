/** Between the last rule and the choice of a server: what persistence says, what the server is told. */
import type {ServerConfig} from '../../config/proxy-value.ts';
import type {PendingStores} from '../stick/stick-rules.ts';
import type {AssignRequest} from './assignment.ts';
import {connectionHas} from './h1-framing.ts';
import type {BackendUse, HttpParts} from './http-parts.ts';
import {headerOf, type RequestHead, withoutHeader} from './message.ts';
import {type CookieFinding, findCookie, requestForServer} from './persistence-cookie.ts';
import {firstName, type HttpBackendProxy} from './proxies.ts';
import {type LocalReply, reasonOf} from './reply.ts';
import {splitTarget} from './target.ts';
import type {Transaction} from './transaction.ts';
import {isPagePoll} from './wait-page.ts';

/** It has 55 characters in the version that there is. */
const maxTraceparent = 128;

export interface RequestPlan {
  readonly assign: AssignRequest;
  readonly finding: CookieFinding | null;
  /** The client wants another protocol, and the server may decide. */
  readonly upgrade: boolean;
  /** The page of those who wait asks: an app is not to see it. */
  readonly isPagePoll: boolean;
  /** `stick` rules: to be told of the server that has answered. */
  readonly stick: ((answered: {readonly id: number}) => void) | null;
  /** The server of this client is reached directly (`redir`). */
  readonly redirect: LocalReply | null;
}

/** Not `h2c`: its requests would bypass every rule. */
function wantsUpgrade({version, headers}: RequestHead, isBodyless: boolean): boolean {
  if (version === '1.0' || !isBodyless) return false;
  const protocol = headerOf(headers, 'upgrade');
  return protocol !== null && !/\bh2c?\b/i.test(protocol) && connectionHas(headers, 'upgrade');
}

function redirectTo({redirectPrefix}: ServerConfig, {method, uri}: RequestHead): LocalReply | null {
  if (redirectPrefix === null || (method !== 'GET' && method !== 'HEAD')) return null;
  const {path, query} = splitTarget(uri);
  const location = `${redirectPrefix}${path}${query === null ? '' : `?${query}`}`;
  return {
    status: 302,
    reason: reasonOf(302),
    headers: [
      ['cache-control', 'no-cache'],
      ['location', location],
    ],
    body: Buffer.alloc(0),
  };
}

/** A name that is made of a request may be of no backend. */
export function backendFor(transaction: Transaction, parts: Pick<HttpParts, 'backend'>): BackendUse | null {
  const {useBackends, config} = transaction.frontend;
  const name = firstName(useBackends, transaction);
  return (name === '' ? null : parts.backend(name)) ?? parts.backend(config.defaultBackend);
}

/** @param held called when the request begins to wait for a wake */
export function planRequest(
  transaction: Transaction,
  backend: HttpBackendProxy,
  {parts, held}: {readonly parts: Pick<HttpParts, 'assignment' | 'clock'>; readonly held: (() => void) | undefined},
): RequestPlan {
  const {request} = transaction;
  const {clock} = parts;
  const servers = parts.assignment.servers(backend.config.name);
  if (backend.probes !== null) transaction.judgeProbe(backend.probes);
  transaction.captureCookie('request');
  const isUp = ({name}: ServerConfig): boolean => transaction.surroundings.isServerUp(backend.config.name, name) !== false;
  const finding = backend.cookie === null ? null : findCookie(backend.cookie, servers, request.headers, {nowMs: clock.nowMs(), isUp});
  if (finding !== null) transaction.cookieFlags = `${finding.flag}-`;
  const wanted = backend.useServers.length === 0 ? '' : firstName(backend.useServers, transaction);
  const designated = wanted === '' ? null : servers.named(wanted);
  const chosen = designated ?? finding?.server ?? null;
  const pending = backend.stick?.request(transaction) ?? null;
  return {
    finding,
    stick: pending === null ? null : ({id}) => storeStick(transaction, backend, {pending, id}),
    upgrade: wantsUpgrade(request, transaction.incoming.length === 0),
    redirect: chosen === null ? null : redirectTo(chosen, request),
    isPagePoll: backend.waitPage !== null && isPagePoll(transaction),
    assign: {
      ...assignRequest(transaction, backend, [designated, finding?.server ?? null]),
      stuckTo: pending?.serverId ?? null,
      held: (waking) => {
        transaction.waking = {...waking, sinceMs: clock.monotonicMs()};
        held?.();
      },
    },
  };
}

function storeStick(context: Transaction, {stick}: HttpBackendProxy, {pending, id}: {readonly pending: PendingStores; readonly id: number}): void {
  stick?.stored(pending, id);
  stick?.response(context, id);
}

function assignRequest(context: Transaction, backend: HttpBackendProxy, wanted: readonly (ServerConfig | null)[]): Omit<AssignRequest, 'stuckTo'> {
  const {request, connection} = context;
  const source = connection.source.host;
  return {
    source,
    http: request,
    sample: backend.balanceSample?.(context) ?? null,
    trigger: {
      kind: 'connection',
      protocol: 'tcp',
      source,
      sni: connection.tls?.sni ?? undefined,
      request: {method: request.method, path: request.uri},
      traceparent: headerOf(request.headers, 'traceparent')?.slice(0, maxTraceparent),
    },
    isProbe: context.probe !== null,
    preferred: wanted.flatMap((server) => (server === null ? [] : [server.name])),
  };
}

/** Fields that the server gets besides those of the client. */
export function prepareForServer(transaction: Transaction, {backend, forwardFor, originalTo}: BackendUse): void {
  const {request, connection, frontend, uniqueId} = transaction;
  if (backend.cookie !== null) request.headers = requestForServer(backend.cookie, request.headers);
  const compression = backend.config.compression ?? frontend.config.compression;
  if (compression?.offload === true) request.headers = withoutHeader(request.headers, 'accept-encoding');
  const header = frontend.uniqueId?.header ?? null;
  if (header !== null && uniqueId !== null) request.headers.push([header, uniqueId]);
  forwardFor?.add(request.headers, connection.source.host);
  originalTo?.add(request.headers, connection.destination.host);
}
