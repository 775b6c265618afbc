/**
 * The dashboard behind `stats uri`: what a browser is shown at the address itself, and what its page asks for. All addresses are that of the page and
 * a word after a semicolon, as HAProxy names the forms of its own page: no path is taken that HAProxy would leave to a server. Whoever serves it has
 * checked who asks.
 */
import {randomBytes, timingSafeEqual} from 'node:crypto';
import type {StatsPage} from '../../config/proxy-value.ts';
import type {Clock} from '../../core/clock.ts';
import {CodedError, errorMessage} from '../../core/errors.ts';
import type {Log} from '../../core/log.ts';
import type {Json} from '../../store/json.ts';
import {findServer} from '../find-proxy.ts';
import type {GatewayControl} from '../gateway-control.ts';
import {Assets} from './assets.ts';
import {type DashboardSource, dashboardActions} from './dashboard-source.ts';
import {boardJson, type EventSink, EventStream} from './event-stream.ts';
import {LiveBoard} from './live-board.ts';
import {serverActions} from './server-actions.ts';

/** Who looks at a time. Browsers keep six connections to a host, and one for each page is enough. */
const maxStreams = 32;

export interface DashboardRequest {
  readonly page: StatsPage;
  readonly method: string;
  /** As in the request line. */
  readonly uri: string;
  readonly header: (name: string) => string | null;
  /** `stats admin` allows it. */
  readonly isAdmin: boolean;
}

type Headers = readonly (readonly [name: string, value: string])[];

export interface WholeReply {
  readonly status: number;
  readonly contentType: string;
  readonly body: string | Buffer;
  /** Besides the content type. */
  readonly headers: Headers;
}

export type DashboardReply =
  | {readonly kind: 'later'; readonly make: () => Promise<WholeReply>}
  | {readonly kind: 'stream'; readonly head: Pick<WholeReply, 'contentType' | 'headers'>; readonly open: (sink: EventSink) => {drained(): void; over(): void}};

export interface DashboardOptions {
  /** It may be another one after a reload. */
  readonly source: () => DashboardSource;
  readonly control: GatewayControl;
  readonly clock: Clock;
  readonly log: Log;
}

interface Action {
  /** For messages. */
  readonly title: string;
  readonly fields: Readonly<Record<string, string>>;
  /** @throws CodedError */
  readonly run: () => Promise<Json>;
}

const safety: Headers = [
  ['x-content-type-options', 'nosniff'],
  ['referrer-policy', 'no-referrer'],
];
const policy =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const notKept: Headers = [['cache-control', 'no-store'], ...safety];

export class Dashboard implements Disposable {
  readonly #options: DashboardOptions;
  readonly #live: LiveBoard;
  readonly #assets = new Assets();
  readonly #streams = new Set<EventStream>();
  /** What a page has to show with what it wants done, so that no other page can have it done. */
  readonly #token = randomBytes(18).toString('base64url');

  constructor(options: DashboardOptions) {
    this.#options = options;
    this.#live = new LiveBoard(options);
  }

  /** Null: the request is for something else, such as HAProxy's own page. */
  answer(request: DashboardRequest): DashboardReply | null {
    const {page, uri, method} = request;
    const wanted = wantedOf(uri, page.uri);
    if (wanted === null) return null;
    const [word, name = ''] = wanted.split('=', 2);
    const action = this.#actionOf(word ?? '', decoded(name), request);
    if (action !== null) return later(async () => this.#act(action, request));
    if (method !== 'GET' && method !== 'HEAD') return null;
    switch (word) {
      case '':
        return (request.header('accept') ?? '').includes('text/html') ? this.#asset('page.html', request) : null;
      case 'events':
        return method === 'GET' ? this.#stream(request) : null;
      case 'state':
        return later(async () => {
          await this.#live.now();
          return json(boardJson(this.#live, {seen: 0, isVisible: this.#visible(page), you: this.#you(request)}));
        });
      case 'memory':
        return page.scopes.length === 0 ? later(async () => json(JSON.stringify(await this.#options.source().memory()))) : null;
      case 'app':
        return later(async () => this.#app(decoded(name), page));
      default:
        return word !== undefined && word !== 'page.html' && this.#assets.has(word) ? this.#asset(word, request) : null;
    }
  }

  /** Sends every viewer away for a moment: the gateway has another configuration, or stops. */
  endStreams(): void {
    for (const stream of this.#streams) stream.end();
    this.#live.forget();
  }

  [Symbol.dispose](): void {
    this.endStreams();
    this.#live.stop();
  }

  #asset(file: string, {page, header}: DashboardRequest): DashboardReply {
    return later(async () => {
      const {contentType, body, etag} = await this.#assets.get(file, baseOf(page));
      const headers: Headers = [['cache-control', 'no-cache'], ['etag', etag], ...safety];
      if (header('if-none-match') === etag) return {status: 304, contentType, body: '', headers};
      const ofPage: Headers = [
        ['content-security-policy', policy],
        ['vary', 'accept'],
      ];
      return {status: 200, contentType, body, headers: file === 'page.html' ? [...headers, ...ofPage] : headers};
    });
  }

  #stream(request: DashboardRequest): DashboardReply {
    if (this.#streams.size >= maxStreams) return later(async () => failure(503, 'Cannot watch: too many do', [['retry-after', '10']]));
    return {
      kind: 'stream',
      head: {contentType: 'text/event-stream', headers: notKept},
      open: (sink) => {
        const {clock} = this.#options;
        const stream = new EventStream({live: this.#live, clock, sink, you: this.#you(request), isVisible: this.#visible(request.page)});
        this.#streams.add(stream);
        return {
          drained: () => stream.drained(),
          over: () => {
            stream.close();
            this.#streams.delete(stream);
          },
        };
      },
    };
  }

  /** Only who may change something needs the token. */
  #you({isAdmin, page}: DashboardRequest): unknown {
    const {hideVersion, showNode, showDescription} = page;
    return {isAdmin, token: isAdmin ? this.#token : null, hideVersion, showNode, showDescription, isScoped: page.scopes.length > 0};
  }

  /** `stats scope`: these proxies, and the apps that are their servers. */
  #visible({scopes}: StatsPage): (item: string) => boolean {
    if (scopes.length === 0) return () => true;
    return (item) => {
      const [kind = '', name = ''] = split(item);
      return item === 'gateway' || (kind === 'proxy' && scopes.includes(name)) || (kind === 'app' && this.#live.appsOf(scopes).has(name));
    };
  }

  async #app(name: string, page: StatsPage): Promise<WholeReply> {
    try {
      await this.#expectVisible(name, page);
      const known = await this.#options.source().app(name);
      return json(JSON.stringify({now: Date.now(), known, history: this.#live.histories.of(name)}));
    } catch (error) {
      return refusal(error);
    }
  }

  /** Null: the word is none for something to be done. @param name of an app, or `backend/server` */
  #actionOf(word: string, name: string, {page}: DashboardRequest): Action | null {
    const {source, control} = this.#options;
    const ofApp = dashboardActions.find((action) => action === word);
    if (ofApp !== undefined) {
      const run = async (): Promise<Json> => {
        await this.#expectVisible(name, page);
        return source().act(ofApp, name);
      };
      return {title: `${word} app "${name}"`, fields: {app: name, action: word}, run};
    }
    const ofServer = serverActions.get(word);
    if (ofServer === undefined) return null;
    const run = async (): Promise<Json> => {
      const {backend, server} = findServer(control, name);
      if (!this.#visible(page)(`proxy/${backend.name}`)) throw new CodedError('ERR_UNKNOWN_SERVER', `Cannot find server "${name}"`, {source: 'client'});
      ofServer(server);
      void this.#live.now();
      return null;
    };
    return {title: `${word.replace('server-', '')} server "${name}"`, fields: {server: name, action: word}, run};
  }

  async #act({title, fields, run}: Action, request: DashboardRequest): Promise<WholeReply> {
    if (request.method !== 'POST') return failure(405, `Cannot ${title}: POST is expected`, [['allow', 'POST']]);
    if (!request.isAdmin) return failure(403, `Cannot ${title}: "stats admin" does not allow it`);
    if (!isFromOurPage(request, this.#token)) return failure(403, `Cannot ${title}: another page asks for it`);
    try {
      this.#options.log.info(fields, 'an operator asks for it on the dashboard');
      return json(JSON.stringify({result: await run()}));
    } catch (error) {
      return refusal(error);
    }
  }

  async #expectVisible(name: string, page: StatsPage): Promise<void> {
    if (page.scopes.length > 0 && this.#live.board.version === 0) await this.#live.now();
    if (this.#visible(page)(`app/${name}`)) return;
    throw new CodedError('ERR_UNKNOWN_APP', `Cannot find app "${name}"`, {source: 'client'});
  }
}

/** What comes after the address of the page and a semicolon; empty: the page itself. Null: it is another address. */
function wantedOf(uri: string, pageUri: string): string | null {
  const bare = pageUri.includes('?') ? uri : (uri.split('?', 1)[0] ?? '');
  if (bare === pageUri) return '';
  return bare.startsWith(`${pageUri};`) ? bare.slice(pageUri.length + 1) : null;
}

/** What is before the names of files. It becomes a part of pages and modules. */
function baseOf({uri}: StatsPage): string {
  return `${uri};`.replace(/[^\x21-\x7e]|["'\\<>`]/g, (character) => `%${character.charCodeAt(0).toString(16).padStart(2, '0')}`);
}

function split(item: string): readonly string[] {
  const slash = item.indexOf('/');
  return slash === -1 ? [item] : [item.slice(0, slash), item.slice(slash + 1)];
}

function decoded(name: string): string {
  try {
    return decodeURIComponent(name);
  } catch {
    return name; // There is no app of such a name.
  }
}

/**
 * A page of another origin can neither read the token, nor send the field without asking us first, to which we do not agree; the rest is for browsers
 * that say where a request comes from.
 */
function isFromOurPage({header}: DashboardRequest, token: string): boolean {
  const site = header('sec-fetch-site');
  const origin = header('origin');
  if (site !== null && site !== 'same-origin') return false;
  if (origin !== null && URL.parse(origin)?.host !== header('host')?.toLowerCase()) return false;
  const given = Buffer.from(header('x-picogate-token') ?? '');
  const expected = Buffer.from(token);
  return given.length === expected.length && timingSafeEqual(given, expected);
}

function later(make: () => Promise<WholeReply>): DashboardReply {
  return {kind: 'later', make};
}

function json(body: string): WholeReply {
  return {status: 200, contentType: 'application/json', body, headers: notKept};
}

function failure(status: number, error: string, headers: Headers = []): WholeReply {
  return {...json(JSON.stringify({error})), status, headers: [...notKept, ...headers]};
}

function refusal(error: unknown): WholeReply {
  const source = error instanceof CodedError ? error.source : 'bug';
  const status = error instanceof CodedError && error.code === 'ERR_UNKNOWN_APP' ? 404 : source === 'client' ? 409 : 503;
  return failure(status, errorMessage(error).trim());
}
