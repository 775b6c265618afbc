/** The timeouts of mode tcp: who is told what, when, and what is logged, by Debian's HAProxy and by our program. */
import {existsSync} from 'node:fs';
import {connect, createServer, type Socket} from 'node:net';
import {setTimeout as sleep} from 'node:timers/promises';
import test from 'ava';
import {startPair, type Twin} from '../helpers/program-pair.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';
import {until} from '../helpers/until.ts';
import {serve} from './operator-servers.ts';

const pairTest = existsSync('/usr/sbin/haproxy') ? test.serial : test.serial.skip;

/** The timeouts of each listener. */
const listeners: Readonly<Record<string, readonly string[]>> = {
  CLIENT: ['client 1s', 'server 3s'],
  SERVER: ['client 3s', 'server 1s'],
  CLIENT_FIN: ['client 1s', 'server 5s', 'client-fin 2s'],
  SERVER_FIN: ['client 1s', 'server 5s', 'server-fin 2s'],
  SHORT_FINS: ['client 4s', 'server 4s', 'client-fin 1s', 'server-fin 1s'],
  TUNNEL: ['client 1s', 'server 1s', 'tunnel 2s'],
  TUNNEL_FINS: ['client 1s', 'server 1s', 'tunnel 3s', 'client-fin 1s', 'server-fin 1s'],
  TUNNEL_LATER: ['client 6s', 'server 6s', 'tunnel 2s', 'client-fin 4s', 'server-fin 4s'],
};

const names = Object.keys(listeners);

const configuration = `
defaults
  mode tcp
  log 127.0.0.1:\${LOG} local0
  log-format "%ci:%cp %f %ts %Tt"
  timeout connect 5s
${names.map((name) => [`listen ${name}`, `bind 127.0.0.1:\${${name}}`, ...(listeners[name] ?? []).map((line) => `timeout ${line}`), `server one 127.0.0.1:\${ORIGIN}`].join('\n  ')).join('\n')}
`;

/** What a side does: the first four after it was connected, the last two at once. */
const quietHabits = ['silent', 'talks', 'ends', 'talks-ends'] as const;
const stuckHabits = ['stuck', 'fills'] as const;
type Habit = (typeof quietHabits)[number] | (typeof stuckHabits)[number];

interface Case {
  readonly listener: string;
  readonly client: Habit;
  readonly server: Habit;
}

const isTimedAlike = (listener: string): boolean => !/^(CLIENT|SERVER)/.test(listener);

const quietCases: readonly Case[] = names
  .flatMap((listener) => quietHabits.flatMap((client) => quietHabits.map((server) => ({listener, client, server}))))
  // Of two that are late in the same millisecond HAProxy takes now the one, now the other.
  .filter(({listener, client, server}) => !(isTimedAlike(listener) && client === server && !client.endsWith('ends')));
const stuckCases: readonly Case[] = ['CLIENT', 'SERVER']
  .flatMap((listener) => stuckHabits.flatMap((client) => stuckHabits.map((server) => ({listener, client, server}))))
  .filter(({client, server}) => client === 'stuck' || server === 'stuck');

/** So long is what is told in one number; the programs may differ by one. */
const slotMs = 500;

/** What a session was like for both sides, and when. */
class Story {
  readonly events = {client: '', server: ''};
  readonly serverHabit: Habit;
  readonly #startedMs = performance.now();

  constructor(serverHabit: Habit) {
    this.serverHabit = serverHabit;
  }

  tell(side: 'client' | 'server', event: string): void {
    this.events[side] += ` ${event}@${Math.round((performance.now() - this.#startedMs) / slotMs)}`;
  }
}

function behave(socket: Socket, side: 'client' | 'server', habit: Habit, story: Story): void {
  socket.on('error', (error: NodeJS.ErrnoException) => {
    // Of what was written, as much as there was room for.
    if (habit !== 'fills') story.tell(side, String(error.code));
  });
  socket.on('end', () => story.tell(side, 'end'));
  if (habit === 'stuck') socket.pause();
  else socket.resume();
  if (habit === 'fills') socket.write(Buffer.alloc(12_000_000));
  const talk = habit.startsWith('talks') ? setInterval(() => socket.writable && socket.write('more'), 250) : undefined;
  const rest = setTimeout(() => {
    clearInterval(talk);
    if (habit.endsWith('ends')) socket.end();
  }, timeOf[habit]);
  socket.on('close', () => {
    clearInterval(talk);
    clearTimeout(rest);
    if (habit !== 'fills') story.tell(side, 'closed');
  });
}

const timeOf: Readonly<Record<Habit, number>> = {silent: 0, talks: 2600, ends: 500, 'talks-ends': 2100, stuck: 0, fills: 0};

/** By what their clients say first. */
const stories = new Map<string, Story>();

async function run(twin: Twin, {listener, client: habit, server}: Case): Promise<string> {
  const title = `${listener}: client ${habit}, server ${server}`;
  const key = `${twin.name} ${title}`;
  const story = new Story(server);
  stories.set(key, story);
  const linesBefore = twin.lines.length;
  const client = connect({host: '127.0.0.1', port: twin.port(listener), allowHalfOpen: true});
  client.write(`${key}\n`);
  behave(client, 'client', habit, story);
  await until(() => client.localPort !== undefined, {what: 'a connection'});
  const address = `127.0.0.1:${client.localPort} ${listener} `;
  const line = (): string | undefined => twin.lines.slice(linesBefore).find((candidate) => candidate.includes(address));
  await until(() => line() !== undefined, {what: `${twin.name} to end a session of ${title}`});
  // What the sides hear of it may come a little later.
  await sleep(slotMs);
  const {client: heard, server: answered} = story.events;
  client.destroy();
  const [, termination = '', ms = ''] = /(\S\S) (\d+)$/.exec(line() ?? '') ?? [];
  return `${title}: client${heard}; server${answered}; ${termination}@${Math.round(Number(ms) / slotMs)}`;
}

/** One after the other, so that none has to wait for the rest. */
async function course(twin: Twin, cases: readonly Case[]): Promise<readonly string[]> {
  const runs: Promise<string>[] = [];
  for (const one of cases) {
    runs.push(run(twin, one));
    await sleep(15);
  }
  return Promise.all(runs);
}

/** With the times of the other, where they are near. */
function aligned(ours: string, theirs: string): string {
  const times = [...theirs.matchAll(/@(\d+)/g)].map(([, time]) => Number(time));
  let at = 0;
  return ours.replaceAll(/@(\d+)/g, (own, time: string) => {
    const other = times[at++];
    return other !== undefined && Math.abs(other - Number(time)) <= 1 ? `@${other}` : own;
  });
}

for (const [title, cases] of [
  ['sides that are silent, talk and end', quietCases],
  ['sides that take nothing', stuckCases],
] as const) {
  pairTest(`timeouts and ${title}`, async (t) => {
    t.timeout(90_000);
    await using scope = new AsyncDisposableStack();
    const directory = scope.use(await temporaryDirectory());
    const origin = await serve(scope, createServer({allowHalfOpen: true}), (socket) => {
      socket.once('data', (bytes: Buffer) => {
        const story = stories.get(String(bytes.toString('latin1').split('\n')[0]));
        if (story === undefined) socket.destroy();
        else behave(socket, 'server', story.serverHabit, story);
      });
    });
    const pair = scope.use(await startPair({configuration, ports: names, values: {ORIGIN: origin}, directory: directory.path}));
    const [theirs, ours] = await Promise.all([course(pair.haproxy, cases), course(pair.picogate, cases)]);
    t.deepEqual(
      ours.map((line, at) => aligned(line, theirs[at] ?? '')),
      theirs,
    );
  });
}
