/** What the gateway says, as it says it: items by name, brought up to date by server-sent events; and what it is asked to do. */

/** What comes before the names of files and questions in their addresses. */
const base = import.meta.url.slice(0, -'model.js'.length);
const retryMs = 5000;
const messageMs = 8000;
/** Live samples of memory, one a second. */
const liveKept = 900;

/** @type {Map<string, any>} */
const items = new Map();
const listeners = new Set();

export const model = {
  items,
  /** @type {{isAdmin: boolean, token: string | null, [fact: string]: any} | null} */
  you: null,
  connected: false,
  /** How much later it is at the gateway. */
  skewMs: 0,
  /** @type {[at: number, used: number, saved: number, awake: number][]} */
  memory: [],
  message: '',
};

/** @param {() => void} listener @returns what ends it */
export function listen(listener) {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}

export function tell() {
  for (const listener of listeners) listener();
}

export function now() {
  return Date.now() + model.skewMs;
}

/** All items of a kind. @param {string} kind */
export function all(kind) {
  const found = [];
  for (const [name, value] of items) if (name.startsWith(`${kind}/`)) found.push(value);
  return found;
}

function apply(change) {
  if (change.whole) items.clear();
  for (const [name, value] of Object.entries(change.set)) items.set(name, value);
  for (const name of change.gone) items.delete(name);
  if (change.you !== undefined) model.you = change.you;
  model.skewMs = change.now - Date.now();
  const gateway = items.get('gateway');
  if (gateway?.usedBytes !== undefined) {
    model.memory.push([change.now, gateway.usedBytes, gateway.savedBytes, 0]);
    if (model.memory.length > liveKept + 1440) model.memory.splice(1440, 1);
  }
  tell();
}

export function connect() {
  const source = new EventSource(`${base}events`);
  source.addEventListener('open', () => {
    model.connected = true;
    tell();
    void readMemory();
  });
  source.addEventListener('change', (event) => apply(JSON.parse(event.data)));
  source.addEventListener('error', () => {
    model.connected = false;
    tell();
    if (source.readyState !== EventSource.CLOSED) return;
    setTimeout(connect, retryMs);
  });
}

async function readMemory() {
  const answer = await fetch(`${base}memory`).catch(() => null);
  if (answer?.ok !== true) return;
  const kept = await answer.json();
  const last = kept.at(-1)?.[0] ?? 0;
  model.memory = [...kept, ...model.memory.filter(([at]) => at > last)];
  tell();
}

/** @param {string} name of an app */
export async function readApp(name) {
  const answer = await fetch(`${base}app=${encodeURIComponent(name)}`);
  const found = await answer.json();
  if (!answer.ok) throw new Error(found.error ?? answer.statusText);
  return found;
}

/** What an action has come to, where the gateway does not say it in a word. */
const words = {pin: 'pinned', unpin: 'unpinned'};

/** Has something done, and says how that went. @param {string} action @param {string} name of an app, or `backend/server` */
export async function act(action, name) {
  say(`${action.replace('server-', '')} ${name} …`);
  try {
    const answer = await fetch(`${base}${action}=${encodeURIComponent(name)}`, {method: 'POST', headers: {'x-picogate-token': model.you?.token ?? ''}});
    const found = await answer.json();
    if (!answer.ok) throw new Error(found.error ?? answer.statusText);
    const said = typeof found.result === 'string' ? found.result : (words[action] ?? 'done');
    say(said === 'cancelled' ? `${name} is needed and stays awake` : `${name}: ${said}`);
  } catch (error) {
    say(error instanceof Error ? error.message : String(error));
  }
}

let hiding;

function say(message) {
  model.message = message;
  clearTimeout(hiding);
  if (message !== '') hiding = setTimeout(dismiss, messageMs);
  tell();
}

export function dismiss() {
  say('');
}

export const plainPage = `${base}norefresh`;
export const csvPage = `${base}csv`;
