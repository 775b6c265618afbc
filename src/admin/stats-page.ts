/**
 * The page of `stats uri`: a table of frontends, backends with their servers, and apps, without a script or anything from elsewhere; and the same
 * as CSV or JSON, as HAProxy has them at `;csv` and `;json`. Whoever serves it has checked who asks.
 */
import type {StatsPage} from '../config/proxy-value.ts';
import type {GatewayControl} from './gateway-control.ts';
import {escapeHtml} from './html.ts';
import {shortAge} from './session-commands.ts';
import {showUptime} from './show-info.ts';
import {statCsv, statJson} from './show-stat.ts';
import {type StatRow, statRows} from './stat-rows.ts';

export interface StatsReply {
  readonly contentType: string;
  readonly body: string;
  /** Headers besides the content type. */
  readonly headers: readonly (readonly [name: string, value: string])[];
}

export type StatsForm = 'html' | 'csv' | 'json';

export interface StatsRequest {
  readonly form: StatsForm;
  readonly refresh: boolean;
  readonly onlyUp: boolean;
  /** Only proxies with this in their name, in lower case; `''`: all. */
  readonly scope: string;
}

const wholePage: StatsRequest = {form: 'html', refresh: true, onlyUp: false, scope: ''};

/**
 * What a request asks for; null: it is not for the page.
 * @param path as in the request line, for example `/stats;csv;norefresh` or `/stats?;csv;scope=shop`
 */
export function statsRequest(path: string, {uri}: Pick<StatsPage, 'uri'>): StatsRequest | null {
  const rest = path.slice(uri.length);
  if (!path.startsWith(uri) || !/^(?:$|[;?&])/.test(rest)) return null;
  const flags = new Set(rest.split(/[;?&]/));
  const scope = /[;?&]scope=([^;&]*)/.exec(rest)?.[1] ?? '';
  return {
    form: flags.has('csv') ? 'csv' : flags.has('json') ? 'json' : 'html',
    refresh: !flags.has('norefresh'),
    onlyUp: flags.has('up'),
    scope: scope.toLowerCase(),
  };
}

export function statsPage(control: GatewayControl, config: StatsPage, request: StatsRequest = wholePage): StatsReply {
  const isWanted = (proxy: unknown): boolean => isInScope(config, proxy) && String(proxy).toLowerCase().includes(request.scope);
  const rows = [...statRows(control)].filter(({values, isDown}) => isWanted(values['pxname']) && !(request.onlyUp && isDown));
  const refresh = config.refreshSeconds !== null && request.refresh ? [['refresh', String(config.refreshSeconds)] as const] : [];
  const headers = [['cache-control', 'no-cache'] as const, ...refresh];
  switch (request.form) {
    case 'csv':
      return {contentType: 'text/plain', body: [...statCsv(rows)].join(''), headers};
    case 'json':
      return {contentType: 'application/json', body: [...statJson(rows)].join(''), headers};
    case 'html':
      return {
        contentType: 'text/html; charset=utf-8',
        body: page(control, config, rows),
        headers: [...headers, ['content-security-policy', "default-src 'none'; style-src 'unsafe-inline'"]],
      };
    default:
      return request.form satisfies never;
  }
}

/** `stats scope`: `.` is the proxy of the page itself, which the caller has put in its place. */
function isInScope({scopes}: StatsPage, proxy: unknown): boolean {
  return scopes.length === 0 || scopes.some((scope) => scope === proxy);
}

const style = `body{font:13px/1.5 system-ui,sans-serif;margin:1.5em;color:#222;background:#fff}
h1{font-size:1.4em;margin:0}h2{font-size:1.1em;margin:1.5em 0 .3em}
table{border-collapse:collapse}th,td{border:1px solid #ccc;padding:.15em .6em;text-align:right;font-variant-numeric:tabular-nums}
th{background:#eee;font-weight:600}td.name,th.name{text-align:left}tr.total{background:#f5f5f5}
.up{background:#d7f0d7}.down{background:#f7d0d0}.maint{background:#efe3c8}.asleep{color:#777}
@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}th{background:#333}tr.total{background:#242424}th,td{border-color:#444}
.up{background:#1d401d}.down{background:#5a1f1f}.maint{background:#4a3d1a}}`;

const columns: readonly (readonly [heading: string, title: string, column: string])[] = [
  ['Queue', 'sessions that wait now', 'qcur'],
  ['Sessions', 'now', 'scur'],
  ['Max', 'the most at a time', 'smax'],
  ['Limit', 'as many as there may be', 'slim'],
  ['Total', 'since the start', 'stot'],
  ['Rate', 'new ones in the last second', 'rate'],
  ['Bytes in', 'from clients', 'bin'],
  ['Bytes out', 'to clients', 'bout'],
  ['Denied', 'requests that a rule refused', 'dreq'],
  ['Conn. errors', 'servers that could not be connected to', 'econ'],
  ['Resp. errors', 'answers that were wrong or broke off', 'eresp'],
  ['Retries', 'further attempts to connect', 'wretr'],
  ['Weight', 'of the server, or of all that can be used', 'weight'],
  ['Last check', 'result of the last health check', 'check_status'],
  ['Down', 'seconds', 'downtime'],
];

function page(control: GatewayControl, config: StatsPage, rows: readonly StatRow[]): string {
  const facts = control.process();
  const program = config.hideVersion ? 'Picogate' : `Picogate ${facts.version}`;
  const about = [
    `process ${facts.pid}, up ${showUptime(Math.trunc((Date.now() - facts.startedAtMs) / 1000))}`,
    `${facts.connections} of ${facts.maxconn} sessions`,
    ...(config.showNode === null ? [] : [`node ${config.showNode === '' ? facts.nodeName : config.showNode}`]),
    ...(config.showDescription === null ? [] : [config.showDescription === '' ? (facts.description ?? '') : config.showDescription]),
  ];
  const byProxy = Map.groupBy(rows, ({proxyId}) => proxyId);
  return `<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Statistics</title><style>${style}</style></head>
<body><h1>${escapeHtml(program)}</h1><p>${about.map(escapeHtml).join(' &middot; ')}</p>
${[...byProxy.values()].map(proxyTable).join('')}${config.scopes.length === 0 ? appTable(control) : ''}</body></html>
`;
}

function proxyTable(rows: readonly StatRow[]): string {
  const name = String(rows[0]?.values['pxname'] ?? '');
  const heading = columns.map(([text, title]) => `<th title="${escapeHtml(title)}">${escapeHtml(text)}</th>`).join('');
  return `<h2>${escapeHtml(name)}</h2>
<table><thead><tr><th class="name">Name</th><th class="name">Status</th>${heading}<th class="name">Address</th></tr></thead><tbody>
${rows.map(proxyRow).join('')}</tbody></table>
`;
}

function proxyRow({values, objectType, inMaintenance, isDown}: StatRow): string {
  const cell = (column: string): string => escapeHtml(String(values[column] ?? ''));
  const state = inMaintenance ? 'maint' : isDown ? 'down' : 'up';
  const where = values['app'] === undefined || values['app'] === null ? cell('addr') : `app ${cell('app')} (${cell('app_state')})`;
  const title = escapeHtml(String(values['last_chk'] ?? ''));
  return `<tr${objectType === 'Server' || objectType === 'Listener' ? '' : ' class="total"'}><td class="name">${cell('svname')}</td><td class="name ${state}" title="${title}">${cell('status')}</td>${columns
    .map(([, , column]) => `<td>${cell(column)}</td>`)
    .join('')}<td class="name">${where}</td></tr>
`;
}

function appTable(control: GatewayControl): string {
  const apps = [...control.apps()];
  if (apps.length === 0) return '';
  const rows = apps.map(({name, state, address, lastWake, lastHibernate, lastError}) => {
    const since = (atMs: number | undefined): string => (atMs === undefined ? '' : `${shortAge(Date.now() - atMs)} ago`);
    const cells = [
      address ?? '',
      since(lastWake?.atMs),
      lastWake === null ? '' : `${Math.round(lastWake.tookMs)} ms`,
      lastWake?.trigger ?? '',
      since(lastHibernate?.atMs),
      lastError ?? '',
    ];
    const asleep = state === 'running' ? '' : ' class="asleep"';
    return `<tr${asleep}><td class="name">${escapeHtml(name)}</td><td class="name">${escapeHtml(state)}</td>${cells.map((text) => `<td>${escapeHtml(text)}</td>`).join('')}</tr>\n`;
  });
  const headings = ['Address', 'Last wake', 'took', 'by', 'Last hibernated', 'Last error'].map((text) => `<th>${text}</th>`).join('');
  return `<h2>Apps</h2>
<table><thead><tr><th class="name">Name</th><th class="name">State</th>${headings}</tr></thead><tbody>
${rows.join('')}</tbody></table>
`;
}
