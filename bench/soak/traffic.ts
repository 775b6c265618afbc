/** Clients that come and go: each asks one app for a while, pauses, and asks another one. Every answer is judged. */
import {get} from 'node:http';
import {setTimeout as sleep} from 'node:timers/promises';
import {errorCode, errorMessage} from '../../src/core/errors.ts';
import {type LineClient, lineClient} from '../../test/helpers/line-client.ts';
import {lastingApps, type Writer} from './soak-apps.ts';
import type {SoakWorld} from './soak-world.ts';

/** Longer than `timeout wake`: who is held is refused before. */
export const patienceMs = 90_000;
const siteText = 'hello from nginx\n';
/** `durable-server.py 80 2` has so many pages. */
const verified = 'ok 512';

/** It was neither answered nor refused in time. */
class Silence extends Error {}
/** An answer that is none. */
class WrongAnswer extends Error {}

/** Asks until the world is over. */
export async function runClient(world: SoakWorld, random: () => number): Promise<void> {
  const visitor = new Visitor(world, random);
  while (!world.isOver()) {
    const app = lastingApps[Math.floor(random() * lastingApps.length)] ?? 'site';
    for (let left = 1 + Math.floor(random() * 5); left > 0 && !world.isOver(); left--) {
      await world.untilTraffic();
      await world.during(() => visitor.ask(app));
      await sleep(random() * 200);
    }
    if (random() < 0.3) visitor.leave();
    await sleep(random() * 3000);
  }
  visitor.leave();
}

class Visitor {
  readonly #world: SoakWorld;
  readonly #random: () => number;
  /** Connections that stay open, while their apps sleep, too. */
  readonly #open = new Map<Writer, LineClient>();
  /** For people. */
  #doing = '';

  constructor(world: SoakWorld, random: () => number) {
    this.#world = world;
    this.#random = random;
  }

  async ask(app: (typeof lastingApps)[number]): Promise<void> {
    const world = this.#world;
    const fromMs = world.nowMs();
    try {
      await (app === 'site' ? this.#askSite() : this.#askWriter(app));
      world.answered();
    } catch (error) {
      if (app !== 'site') this.#leave(app);
      const what = `${app}, ${this.#doing}`;
      if (error instanceof WrongAnswer) world.violation(`${what}: ${error.message}`);
      else if (error instanceof Silence) world.violation(`${what}: neither an answer nor a refusal from ${fromMs} on`);
      else world.refused(`${errorCode(error) ?? errorMessage(error)} (${what})`, {fromMs, toMs: world.nowMs()});
    }
  }

  leave(): void {
    for (const app of this.#open.keys()) this.#leave(app);
  }

  #leave(app: Writer): void {
    this.#open.get(app)?.[Symbol.dispose]();
    this.#open.delete(app);
  }

  async #askSite(): Promise<void> {
    const {http, nat} = this.#world.ports;
    const isNat = this.#random() < 0.5;
    this.#doing = isNat ? 'nat' : 'http';
    const text = await httpGet(isNat ? nat.site : http.site, '/');
    if (text !== siteText) throw new WrongAnswer(`"${text}" instead of its page`);
  }

  async #askWriter(app: Writer): Promise<void> {
    const drawn = this.#random();
    if (app === 'notes' && drawn < 0.15) {
      this.#doing = 'read by http';
      return readHttp(this.#world);
    }
    if (app === 'notes' && drawn < 0.3) {
      this.#doing = 'write by nat';
      return withClient(this.#world.ports.nat.notes, (client) => write(this.#world, app, client));
    }
    this.#doing = drawn < 0.8 ? 'write' : drawn < 0.85 ? 'verify' : 'read';
    const client = await this.#client(app);
    if (drawn < 0.8) return write(this.#world, app, client);
    if (app !== 'cache' && drawn < 0.85) return verify(client);
    return read(this.#world, app, client);
  }

  async #client(app: Writer): Promise<LineClient> {
    const open = this.#open.get(app);
    // One that ended while nobody asked is no refusal.
    if (open !== undefined && !open.socket.destroyed) {
      this.#doing += ' on an open connection';
      return open;
    }
    const client = await lineClient(this.#world.ports.tcp[app], {timeoutMs: patienceMs});
    this.#open.set(app, client);
    return client;
  }
}

async function withClient<Result>(port: number, use: (client: LineClient) => Promise<Result>): Promise<Result> {
  using client = await lineClient(port, {timeoutMs: patienceMs});
  return await use(client);
}

async function request(client: LineClient, line: string): Promise<string> {
  return client.request(line).catch((error: unknown) => {
    throw errorMessage(error).startsWith('no line in') ? new Silence() : error;
  });
}

async function write({ledgers, nextValue, nowMs}: SoakWorld, app: Writer, client: LineClient): Promise<void> {
  const [value, fromMs] = [nextValue(), nowMs()];
  // Until it is answered.
  ledgers[app].asked(value, fromMs, null);
  const answer = await request(client, app === 'cache' ? `RPUSH values ${value}` : `put ${value}`);
  // As a Redis that still reads its file says it.
  if (answer.startsWith('-LOADING')) throw new Error('LOADING');
  if (!(app === 'cache' ? /^:\d+$/ : /^net:/).test(answer)) throw new WrongAnswer(`"${answer}" to a write`);
  ledgers[app].asked(value, fromMs, nowMs());
}

async function verify(client: LineClient): Promise<void> {
  const answer = await request(client, 'verify');
  if (answer !== verified) throw new WrongAnswer(`its memory: "${answer}"`);
}

async function read(world: SoakWorld, app: Writer, client: LineClient): Promise<void> {
  const fromMs = world.nowMs();
  judge(world, app, app === 'cache' ? await readList(client) : valuesOf(await request(client, 'all')), fromMs);
}

function judge({ledgers, nowMs, violation}: SoakWorld, app: Writer, values: readonly string[], fromMs: number): void {
  if (values.includes('differs')) throw new WrongAnswer('its memory and its files differ');
  for (const what of ledgers[app].read(values, {fromMs, toMs: nowMs()})) violation(`${app}: ${what}`);
}

/** The first word names the instance. */
function valuesOf(answer: string): string[] {
  return answer.split(' ').slice(1);
}

async function readList(client: LineClient): Promise<string[]> {
  const head = await request(client, 'LRANGE values 0 -1');
  if (head.startsWith('-LOADING')) throw new Error('LOADING');
  const count = Number(/^\*(\d+)$/.exec(head)?.[1] ?? Number.NaN);
  if (Number.isNaN(count)) throw new WrongAnswer(`"${head}" to a read`);
  const values: string[] = [];
  for (let at = 0; at < count; at++) {
    await client.nextLine();
    values.push(await client.nextLine());
  }
  return values;
}

async function readHttp(world: SoakWorld): Promise<void> {
  const fromMs = world.nowMs();
  judge(world, 'notes', valuesOf(await httpGet(world.ports.http.notes, '/all')), fromMs);
}

/** @throws Error naming the status when it is not 200 */
async function httpGet(port: number, path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const asking = get({host: '127.0.0.1', port, path, agent: false, timeout: patienceMs}, (answer) => {
      let text = '';
      answer.setEncoding('latin1');
      answer.on('data', (data: string) => {
        text += data;
      });
      answer.on('error', reject);
      answer.on('end', () => (answer.statusCode === 200 ? resolve(text) : reject(new Error(`status ${answer.statusCode ?? 0}`))));
    });
    asking.on('timeout', () => asking.destroy(new Silence()));
    asking.on('error', reject);
  });
}

/** A number that an app counts on. */
export async function count(port: number): Promise<number> {
  return Number(await withClient(port, (client) => request(client, 'count')));
}

/** One read of each writer, when nothing disturbs it: what was acknowledged is there. */
export async function readAll(world: SoakWorld): Promise<void> {
  for (const app of ['notes', 'journal', 'cache'] as const) {
    await withClient(world.ports.tcp[app], async (client) => {
      await read(world, app, client);
      if (app !== 'cache') await verify(client);
    });
  }
}
