/** The statistics page (`stats uri`) and the metrics as answers of the edge, for whoever may see them. */
import type {Dashboard, DashboardReply, WholeReply} from '../admin/dashboard/dashboard.ts';
import type {GatewayControl} from '../admin/gateway-control.ts';
import {statsPage, statsRequest} from '../admin/stats-page.ts';
import type {StatsPage} from '../config/proxy-value.ts';
import type {Config} from '../config/value.ts';
import {reasonOf} from '../edge/http/reply.ts';
import type {LaterReply, StatsAnswer} from '../edge/http/stats-answer.ts';

type Transaction = Parameters<StatsAnswer>[1];
type Reply = ReturnType<Transaction['errorPage']>;

/** What Prometheus asks for on a listener that has nothing but statistics. */
const metricsPath = '/metrics';

export interface StatsSources {
  readonly dashboard: Pick<Dashboard, 'answer'>;
  readonly control: GatewayControl;
  readonly config: () => Config;
  /** In Prometheus' text format. */
  readonly metrics: () => Promise<string>;
}

export function statsAnswer({dashboard, control, config, metrics}: StatsSources): StatsAnswer {
  return (asked, transaction) => {
    if (asked === 'prometheus-exporter') return metricsReply(metrics, transaction);
    const {uri} = transaction.request;
    const isForMetrics = uri.split('?', 1)[0] === metricsPath && asked.scopes.length === 0 && hasOnlyStatistics(transaction, config());
    const make = isForMetrics ? () => metricsReply(metrics, transaction) : pageAnswer({dashboard, control}, asked, transaction);
    if (make === null) return null;
    return refusalOf(asked, transaction) ?? make();
  };
}

/** Null: the client may see the page. */
function refusalOf(page: StatsPage, transaction: Transaction): Reply | null {
  const action = transaction.statsAction;
  if (action?.kind === 'deny') return {...transaction.errorPage(403), isDenial: true};
  const asksForUser = action === null ? page.users.length > 0 && !isUser(page, transaction) : action.kind === 'auth';
  if (!asksForUser) return null;
  const realm = (action?.kind === 'auth' ? action.realm : page.realm) ?? 'HAProxy Statistics';
  const refusal = transaction.errorPage(401);
  return {...refusal, headers: [...refusal.headers, ['www-authenticate', `Basic realm="${realm.replace(/["\\]/g, '\\$&')}"`]]};
}

/** What answers as soon as it is known who asks; null: the request is for something else. */
function pageAnswer(
  {dashboard, control}: Pick<StatsSources, 'dashboard' | 'control'>,
  page: StatsPage,
  transaction: Transaction,
): (() => Reply | LaterReply) | null {
  const {uri, method, headers} = transaction.request;
  const header = (name: string): string | null => headers.find(([other]) => other === name)?.[1] ?? null;
  const answer = dashboard.answer({page, uri, method, header, isAdmin: transaction.mayAdminister});
  if (answer !== null) return () => laterReply(answer, transaction);
  const request = statsRequest(uri, page);
  if (request === null) return null;
  if (control.process().threads.length === 1) return () => localReply({status: 200, ...statsPage(control, page, request)});
  return () => laterReply({kind: 'later', make: () => whenTold(control, page, request)}, transaction);
}

/** Other threads have something to tell, too. */
async function whenTold(control: GatewayControl, page: StatsPage, request: Parameters<typeof statsPage>[2]): Promise<WholeReply> {
  await control.synchronize({sessions: false});
  return {status: 200, ...statsPage(control, page, request)};
}

/** There is no server that the request could be meant for. */
function hasOnlyStatistics({frontend, destination}: Transaction, {backends}: Config): boolean {
  if (destination !== null || frontend.config.useBackends.length > 0) return false;
  const backend = backends.find(({name}) => name === frontend.config.defaultBackend);
  return backend === undefined || (backend.servers.length === 0 && backend.http.request.length === 0);
}

function metricsReply(metrics: () => Promise<string>, transaction: Transaction): LaterReply {
  const make = async (): Promise<WholeReply> => {
    const body = await metrics();
    return {status: 200, contentType: 'text/plain; version=0.0.4; charset=utf-8', body, headers: [['cache-control', 'no-cache']]};
  };
  return laterReply({kind: 'later', make}, transaction);
}

/** A failure to make it is answered with the page for 503. */
function laterReply(answer: DashboardReply, transaction: Transaction): LaterReply {
  switch (answer.kind) {
    case 'later':
      return {
        begin(to) {
          answer.make().then(
            (reply) => to.reply(localReply(reply)),
            () => to.reply(transaction.errorPage(503)),
          );
          return {drained: () => undefined, over: () => undefined};
        },
      };
    case 'stream':
      return {
        begin(to) {
          to.head({...headOf({status: 200, ...answer.head})});
          return answer.open(to);
        },
      };
    default:
      return answer satisfies never;
  }
}

function headOf({status, contentType, headers}: Omit<WholeReply, 'body'>): Omit<Reply, 'body'> {
  return {status, reason: reasonOf(status), headers: [['content-type', contentType], ...headers]};
}

function localReply(reply: WholeReply): Reply {
  return {...headOf(reply), body: Buffer.from(reply.body)};
}

function isUser({users}: StatsPage, {request}: Transaction): boolean {
  const [, given = ''] = request.headers.find(([name]) => name === 'authorization') ?? [];
  const credentials = /^basic +(\S+)$/i.exec(given)?.[1];
  if (credentials === undefined) return false;
  const text = Buffer.from(credentials, 'base64').toString();
  return users.some(({name, password}) => text === `${name}:${password}`);
}
