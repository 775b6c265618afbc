/** The statistics page (`stats uri`) as an answer of the edge, for whoever may see it. */
import type {GatewayControl} from '../admin/gateway-control.ts';
import {statsPage, statsRequest} from '../admin/stats-page.ts';
import type {StatsPage} from '../config/proxy-value.ts';
import type {StatsAnswer} from '../edge/http/open-http.ts';

type Transaction = Parameters<StatsAnswer>[1];

export function statsAnswer(control: GatewayControl): StatsAnswer {
  return (page, transaction) => {
    const request = statsRequest(transaction.request.uri, page);
    if (request === null) return null;
    if (page.users.length > 0 && !isUser(page, transaction)) {
      const refusal = transaction.errorPage(401);
      return {...refusal, headers: [...refusal.headers, ['www-authenticate', `Basic realm="${page.realm ?? 'HAProxy Statistics'}"`]]};
    }
    const {contentType, headers, body} = statsPage(control, page, request);
    return {
      status: 200,
      reason: 'OK',
      headers: [['content-type', contentType], ...headers.map(([name, value]) => [name, value] as const)],
      body: Buffer.from(body),
    };
  };
}

function isUser({users}: StatsPage, {request}: Transaction): boolean {
  const [, given = ''] = request.headers.find(([name]) => name === 'authorization') ?? [];
  const credentials = /^basic +(\S+)$/i.exec(given)?.[1];
  if (credentials === undefined) return false;
  const text = Buffer.from(credentials, 'base64').toString();
  return users.some(({name, password}) => text === `${name}:${password}`);
}
