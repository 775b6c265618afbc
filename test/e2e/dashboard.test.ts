/** The dashboard of a real gateway in a real browser: what it shows as it happens, who may do what, and whether everybody can use it. */
import {readFile, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import type {ExecutionContext} from 'ava';
import {type Browser, chromium, type Page} from 'playwright-core';
import {violations} from '../helpers/accessibility.ts';
import {durableApp, listen} from '../helpers/durable-app.ts';
import {freePort, type TestGateway, testGateway} from '../helpers/gateway.ts';
import {ask} from '../helpers/line-client.ts';
import {rootTest} from '../helpers/root-test.ts';
import {rootfsWith} from '../helpers/rootfs.ts';

const example = new URL('../../config/dashboard.cfg', import.meta.url);
const fixtures = fileURLToPath(new URL('../fixtures', import.meta.url));
/** Nothing but the page itself is asked for. */
const browserArguments =
  '--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync';

const operator = {username: 'alice', password: 'correct-horse'};
const viewer = {username: 'viewer', password: 'look-but-do-not-touch'};

interface Lab {
  readonly gateway: TestGateway;
  readonly browser: Browser;
  readonly origin: string;
  readonly ledgerPort: number;
  readonly webPort: number;
}

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly text: string;
}

interface Asked {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly user?: typeof operator | null;
}

async function get(lab: Lab, path: string, {method = 'GET', headers = {}, user = viewer}: Asked = {}): Promise<Answer> {
  const credentials = user === null ? {} : {authorization: `Basic ${Buffer.from(`${user.username}:${user.password}`).toString('base64')}`};
  const answer = await fetch(`${lab.origin}${path}`, {method, headers: {...credentials, ...headers}});
  return {status: answer.status, type: answer.headers.get('content-type') ?? '', text: await answer.text()};
}

/** The example, with an nginx that runs here, and an app of which each byte is known. */
async function openLab(t: ExecutionContext): Promise<Lab> {
  const [webPort, statsPort, ledgerPort] = [await freePort(), await freePort(), await freePort()];
  const text = (await readFile(example, 'utf8'))
    .replace(/rootfs .*/, `rootfs ${await rootfsWith('nginx-light')}`)
    .replace(/exec .*/, `exec /usr/sbin/nginx -c /srv/nginx.conf\n    volume ${fixtures}:/srv:ro`)
    .replace(/\$\{PICOGATE_PORT-8080\}/, String(webPort))
    .replace(/\$\{PICOGATE_STATS_PORT-8404\}/, String(statsPort));
  const others = `${await durableApp('ledger', ['hibernate-after never'])}${listen('ledger', ledgerPort)}    mode tcp\n`;
  const gateway = await testGateway(t, `${text.slice(text.indexOf('defaults'))}\n${others}`);
  await gateway.start();
  const browser = await chromium.launch({executablePath: '/usr/bin/chromium', args: browserArguments.split(' ')});
  t.teardown(() => browser.close());
  return {gateway, browser, origin: `http://127.0.0.1:${statsPort}`, ledgerPort, webPort};
}

interface Opened {
  readonly page: Page;
  /** What the browser complained of: refused by the policy, not found, thrown. */
  readonly complaints: readonly string[];
}

async function open({browser, origin}: Lab, path: string, {user = operator, dark = false}: {user?: typeof operator; dark?: boolean} = {}): Promise<Opened> {
  const context = await browser.newContext({
    httpCredentials: user,
    colorScheme: dark ? 'dark' : 'light',
    viewport: {width: 1280, height: 900},
    reducedMotion: 'reduce',
  });
  context.setDefaultTimeout(20_000);
  const page = await context.newPage();
  const complaints: string[] = [];
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(error.message));
  await page.goto(`${origin}${path}`);
  await page.getByText('live', {exact: true}).waitFor();
  return {page, complaints};
}

async function widthOf(page: Page): Promise<number> {
  return page.evaluate<number>('document.documentElement.scrollWidth');
}

/** Where a person can look at them. */
async function keepScreenshot(page: Page, name: string): Promise<number> {
  const image = await page.screenshot({fullPage: true});
  await writeFile(join(process.env['PICOGATE_SCREENSHOTS'] ?? tmpdir(), `picogate-dashboard-${name}.png`), image);
  return image.length;
}

rootTest('the dashboard shows live what apps do, lets those who may act, and nobody else; HAProxy’s forms and /metrics stay beside it', async (t) => {
  t.timeout(180_000);
  const lab = await openLab(t);
  const {gateway, ledgerPort, webPort} = lab;
  for (const _sleep of [1, 2]) {
    await ask(ledgerPort, 'verify');
    await gateway.hibernate('ledger');
  }
  await ask(ledgerPort, 'verify');

  await t.notThrowsAsync(formsForPrograms(t, lab));
  const {page, complaints} = await open(lab, '/');
  const blog = page.getByRole('row').filter({hasText: 'blog'});
  t.regex((await blog.textContent()) ?? '', /not started/);

  // Traffic wakes it, and the page says so by itself.
  t.is((await fetch(`http://127.0.0.1:${webPort}/`)).status, 200);
  await blog.getByText('awake', {exact: true}).waitFor();
  t.regex((await page.locator('.moments').textContent()) ?? '', /blog woke in .* by tcp\/80 GET \//);
  t.deepEqual(await violations(page), []);

  // By keyboard alone: the button is reached and pressed.
  await page.getByRole('button', {name: 'Hibernate blog'}).focus();
  await page.keyboard.press('Enter');
  await blog.getByText('asleep', {exact: true}).waitFor();
  t.is((await gateway.app('blog')).state, 'hibernated');
  await page.getByRole('status').getByText('blog: hibernated').waitFor();
  await page.getByRole('button', {name: 'Pin blog'}).click();
  await page.getByRole('button', {name: 'Unpin blog'}).waitFor();
  t.not((await gateway.app('blog')).pin, null);

  await detail(t, page);
  t.deepEqual(complaints, [], 'nothing was refused by the policy, or failed');
  await looksAndWidths(t, lab, page);
  await whoMayNot(t, lab);
});

async function formsForPrograms(t: ExecutionContext, lab: Lab): Promise<void> {
  t.is((await get(lab, '/', {user: null})).status, 401);
  t.regex((await get(lab, '/;csv')).text, /^# pxname,svname,/);
  t.true(Array.isArray(JSON.parse((await get(lab, '/;json')).text)));
  t.regex((await get(lab, '/;norefresh', {headers: {accept: 'text/html'}})).text, /<h2>Apps<\/h2>/);
  t.regex((await get(lab, '/')).text, /<h2>Apps<\/h2>/, 'a program that does not ask for a page gets the plain one');
  t.is((await get(lab, '/metrics', {user: null})).status, 401);
  const metrics = await get(lab, '/metrics');
  t.regex(metrics.type, /^text\/plain; version=0\.0\.4/);
  t.regex(metrics.text, /^picogate_app_state\{app="ledger",state="running"\} 1$/m);
  const state = JSON.parse((await get(lab, '/;state')).text) as {you: {isAdmin: boolean; token: string | null}; set: Record<string, {state?: string}>};
  t.like(state.you, {isAdmin: false, token: null});
  t.is(state.set['app/ledger']?.state, 'running');
  const page = await fetch(`${lab.origin}/`, {
    headers: {accept: 'text/html', authorization: `Basic ${Buffer.from('viewer:look-but-do-not-touch').toString('base64')}`},
  });
  const policy = page.headers.get('content-security-policy') ?? '';
  t.regex(policy, /^default-src 'none'; script-src 'self'; style-src 'self';/);
  t.notRegex(policy, /unsafe|nonce|https?:|\*/);
  t.notRegex(await page.text(), /https?:\/\/|<style|<script(?![^>]* src=)/);
}

/** Of the app whose memory is known: timeline, wakes, pages, blockers. */
async function detail(t: ExecutionContext, page: Page): Promise<void> {
  await page.getByRole('link', {name: 'ledger'}).first().click();
  await page.getByRole('heading', {name: 'ledger', level: 1}).waitFor();
  const memory = page.getByRole('img', {name: /pages: .* foreseen, .* faulted, .* untouched, .* changed/});
  await memory.waitFor();
  const [pages = 0] = ((await memory.getAttribute('aria-label')) ?? '').match(/[\d,]+/)?.map((digits) => Number(digits.replaceAll(',', ''))) ?? [];
  t.true(pages > 2048, `${pages} pages`);
  t.regex((await page.getByRole('img', {name: /^Awake .* of the last 15 min/}).getAttribute('aria-label')) ?? '', /woken 3 times/);
  t.regex((await page.locator('.blocker').textContent()) ?? '', /hibernate-after never/);
  t.is(await page.locator('.wakes li').count(), 3);
  t.deepEqual(await violations(page), []);
}

async function looksAndWidths(t: ExecutionContext, lab: Lab, page: Page): Promise<void> {
  await keepScreenshot(page, 'app');
  await page.setViewportSize({width: 360, height: 740});
  t.is(await widthOf(page), 360, 'the page of an app on a phone');
  for (const hash of ['#/proxies', '#/']) {
    await page.goto(`${lab.origin}/${hash}`);
    await page.getByRole('heading', {name: hash === '#/' ? 'Apps' : 'ledger'}).waitFor();
    t.is(await widthOf(page), 360, hash);
  }
  t.true((await keepScreenshot(page, 'phone')) > 10_000);
  await page.setViewportSize({width: 1280, height: 900});
  await keepScreenshot(page, 'light');
  const dark = await open(lab, '/#/proxies', {dark: true});
  await dark.page
    .getByRole('row', {name: /s1 no check/})
    .first()
    .waitFor();
  t.deepEqual(await violations(dark.page), []);
  await dark.page.getByRole('combobox', {name: 'What to do with blog/s1'}).selectOption('maint');
  await dark.page.getByRole('button', {name: 'Apply to blog/s1'}).click();
  await dark.page.getByRole('row', {name: /s1 MAINT/}).waitFor();
  await dark.page.goto(`${lab.origin}/#/`);
  await dark.page.getByRole('heading', {name: 'Memory over time'}).waitFor();
  t.deepEqual(await violations(dark.page), []);
  await keepScreenshot(dark.page, 'dark');
  t.deepEqual(dark.complaints, []);
  await dark.page.context().close();
}

async function whoMayNot(t: ExecutionContext, lab: Lab): Promise<void> {
  const {page} = await open(lab, '/', {user: viewer});
  await page.getByRole('row').filter({hasText: 'ledger'}).waitFor();
  t.is(await page.getByRole('button', {name: /^(?:Wake|Hibernate|Pin|Unpin) /}).count(), 0);

  const state = JSON.parse((await get(lab, '/;state', {user: operator})).text) as {you: {token: string}};
  const token = {'x-picogate-token': state.you.token};
  const sleep = async (asked: Asked): Promise<Answer> => get(lab, '/;hibernate=ledger', {method: 'POST', user: operator, ...asked});
  t.is((await sleep({user: viewer, headers: token})).status, 403, 'no stats admin');
  t.is((await sleep({headers: {}})).status, 403, 'no token');
  t.is((await sleep({headers: {...token, origin: 'http://evil.test'}})).status, 403, 'another origin');
  t.is((await sleep({headers: {...token, 'sec-fetch-site': 'cross-site'}})).status, 403, 'another site');
  t.is((await sleep({method: 'GET', headers: token})).status, 405);
  t.is((await lab.gateway.app('ledger')).state, 'running');
  t.is((await get(lab, '/;wake=nobody', {method: 'POST', user: operator, headers: token})).status, 404);
  t.like(await sleep({headers: token}), {status: 200, text: '{"result":"hibernated"}'});
}
