/** The statistics page (`stats uri`) and the metrics as answers of the edge, for whoever may see them. */
import type {GatewayControl} from '../admin/gateway-control.ts';
import {type StatsReply, statsPage, statsRequest} from '../admin/stats-page.ts';
import type {StatsPage} from '../config/proxy-value.ts';
import type {Config} from '../config/value.ts';
import type {LaterReply, StatsAnswer} from '../edge/http/stats-answer.ts';

type Transaction = Parameters<StatsAnswer>[1];
type Reply = ReturnType<Transaction['errorPage']>;

/** What Prometheus asks for on a listener that has nothing but statistics. */
const metricsPath = '/metrics';

export interface StatsSources {
  readonly control: GatewayControl;
  readonly config: () => Config;
  /** In Prometheus' text format. */
  readonly metrics: () => Promise<string>;
}

export function statsAnswer({control, config, metrics}: StatsSources): StatsAnswer {
  return (asked, transaction) => {
    if (asked === 'prometheus-exporter') return metricsReply(metrics, transaction);
    const {uri} = transaction.request;
    const isForMetrics = uri.split('?', 1)[0] === metricsPath && asked.scopes.length === 0 && hasOnlyStatistics(transaction, config());
    const request = isForMetrics ? null : statsRequest(uri, asked);
    if (!isForMetrics && request === null) return null;
    if (asked.users.length > 0 && !isUser(asked, transaction)) {
      const refusal = transaction.errorPage(401);
      return {...refusal, headers: [...refusal.headers, ['www-authenticate', `Basic realm="${asked.realm ?? 'HAProxy Statistics'}"`]]};
    }
    return request === null ? metricsReply(metrics, transaction) : localReply(statsPage(control, asked, request));
  };
}

/** There is no server that the request could be meant for. */
function hasOnlyStatistics({frontend, destination}: Transaction, {backends}: Config): boolean {
  if (destination !== null || frontend.config.useBackends.length > 0) return false;
  const backend = backends.find(({name}) => name === frontend.config.defaultBackend);
  return backend === undefined || (backend.servers.length === 0 && backend.http.request.length === 0);
}

function metricsReply(metrics: () => Promise<string>, transaction: Transaction): LaterReply {
  return promised(transaction, async () => ({
    contentType: 'text/plain; version=0.0.4; charset=utf-8',
    body: await metrics(),
    headers: [['cache-control', 'no-cache']],
  }));
}

/** A failure to make it is answered with the page for 503. */
function promised(transaction: Transaction, make: () => Promise<StatsReply>): LaterReply {
  return {
    begin(to) {
      make().then(
        (reply) => to.reply(localReply(reply)),
        () => to.reply(transaction.errorPage(503)),
      );
      return {drained: () => undefined, over: () => undefined};
    },
  };
}

function localReply({contentType, headers, body}: StatsReply): Reply {
  return {status: 200, reason: 'OK', headers: [['content-type', contentType], ...headers], body: Buffer.from(body)};
}

function isUser({users}: StatsPage, {request}: Transaction): boolean {
  const [, given = ''] = request.headers.find(([name]) => name === 'authorization') ?? [];
  const credentials = /^basic +(\S+)$/i.exec(given)?.[1];
  if (credentials === undefined) return false;
  const text = Buffer.from(credentials, 'base64').toString();
  return users.some(({name, password}) => text === `${name}:${password}`);
}
