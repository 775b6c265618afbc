/**
 * What a browser sees while the app that it wants wakes: a page that asks again by itself. Whoever may not be a person in front of a page
 * is held instead: other methods than GET, requests with a body, what scripts ask for, upgrades.
 *
 * 503 with `Retry-After` and `no-store`, so that a crawler comes again, and nobody takes the page for the content or keeps it. The page asks
 * the same address with a field of its own, which is held as any request is, and is answered with 204 in the app's place once that is awake: then
 * the browser loads the page again. The app sees none of it.
 */
import {createHash} from 'node:crypto';
import {type Header, headerOf} from './message.ts';
import {type LocalReply, parseErrorFile, reasonOf} from './reply.ts';

export interface WaitPage {
  readonly afterMs: number;
  readonly reply: LocalReply;
}

/** What the page asks with. */
const pollField = 'picogate-wait';
const status = 503;
/** What a client is told while its app does not run. */
export const retryAfterSeconds = '5';

const style = `:root{color-scheme:light dark}
body{margin:0;min-height:100vh;display:grid;place-items:center;font:1.1rem/1.5 system-ui,sans-serif;background:Canvas;color:CanvasText}
main{padding:2rem;text-align:center;max-width:32rem}
h1{font-size:1.5rem;font-weight:600;margin:0 0 .5rem}
p{margin:0}
i{display:block;width:2.5rem;height:2.5rem;margin:0 auto 1.5rem;border:.25rem solid color-mix(in srgb,CanvasText 20%,Canvas);border-top-color:CanvasText;border-radius:50%;animation:turn 1.2s linear infinite}
@keyframes turn{to{transform:rotate(1turn)}}
@media (prefers-reduced-motion:reduce){i{animation:none}}`;

const script = `const ask=()=>fetch(location.href,{headers:{'${pollField}':'1'},cache:'no-store',redirect:'manual'}).then(()=>location.reload(),()=>setTimeout(ask,2000));ask()`;

const page = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<title>Waking up</title>
<noscript><meta http-equiv="refresh" content="2"></noscript>
<style>${style}</style>
</head>
<body>
<main>
<i aria-hidden="true"></i>
<h1>Waking up</h1>
<p role="status">The server was asleep and is starting. This page continues by itself.</p>
</main>
<script>${script}</script>
</body>
</html>
`;

function hashed(text: string): string {
  return `'sha256-${createHash('sha256').update(text).digest('base64')}'`;
}

const builtIn: LocalReply = {
  status,
  reason: reasonOf(status),
  headers: [
    ['content-type', 'text/html; charset=utf-8'],
    ['cache-control', 'no-store'],
    ['retry-after', retryAfterSeconds],
    [
      'content-security-policy',
      `default-src 'none'; style-src ${hashed(style)}; script-src ${hashed(script)}; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
    ],
    ['x-content-type-options', 'nosniff'],
  ],
  body: Buffer.from(page),
};

/** @throws CodedError ERR_BAD_ERROR_FILE */
export function compileWaitPage(config: {readonly afterMs: number; readonly path: string | null} | null, readFile: (path: string) => Buffer): WaitPage | null {
  if (config === null) return null;
  const {afterMs, path} = config;
  return {afterMs, reply: path === null ? builtIn : neverStored(parseErrorFile(path, readFile(path), status))};
}

function neverStored(reply: LocalReply): LocalReply {
  const headers = reply.headers.filter(([name]) => name !== 'cache-control');
  return {...reply, headers: [...headers, ['cache-control', 'no-store']]};
}

interface Asked {
  readonly received: {readonly method: string};
  readonly request: {readonly headers: readonly Header[]};
}

interface Navigation extends Asked {
  readonly incoming: {readonly length: number | null};
}

/** What is to be called when the request begins to wait for a wake; undefined: it is held for as long as it takes. */
export function whenHeld(page: WaitPage | null, asked: Navigation, show: (page: WaitPage) => void): (() => void) | undefined {
  return page === null || !isNavigation(asked) ? undefined : () => show(page);
}

/** A person may be waiting for this request, in a window of its own. */
function isNavigation({received, request, incoming}: Navigation): boolean {
  const {headers} = request;
  if (received.method !== 'GET' || incoming.length !== 0) return false;
  const isOther = (name: string, expected: string): boolean => (headerOf(headers, name) ?? expected) !== expected;
  if (isOther('sec-fetch-mode', 'navigate') || isOther('sec-fetch-dest', 'document')) return false;
  if (['upgrade', 'x-requested-with', 'sec-purpose', 'purpose', pollField].some((name) => headerOf(headers, name) !== null)) return false;
  return acceptsHtml(headerOf(headers, 'accept') ?? '');
}

/** Only who says so: a wildcard is what programs send. */
function acceptsHtml(accept: string): boolean {
  return accept.split(',').some((range) => {
    const [type = '', ...parameters] = range.split(';').map((part) => part.trim().toLowerCase());
    return type === 'text/html' && !parameters.some((parameter) => /^q=0(?:\.0*)?$/.test(parameter));
  });
}

/** The page of a browser asks whether the app is awake now. */
export function isPagePoll({received, request}: Asked): boolean {
  return received.method === 'GET' && headerOf(request.headers, pollField) !== null;
}

/** It is. */
export const awakeReply: LocalReply = {status: 204, reason: reasonOf(204), headers: [['cache-control', 'no-store']], body: Buffer.alloc(0)};
