/** Commands about single sessions (management manual, section 9.3). */
import {type Command, type CommandContext, refuse} from './command.ts';
import type {GatewayControl, SessionControl} from './gateway-control.ts';
import {hexadecimal, parseHexadecimal} from './hexadecimal.ts';

/** `4d3h`, `1h5m`, `2m30s`, `7s`: the two largest units. */
export function shortAge(ms: number): string {
  const units = [
    ['d', 86_400],
    ['h', 3600],
    ['m', 60],
    ['s', 1],
  ] as const;
  let seconds = Math.trunc(ms / 1000);
  const words: string[] = [];
  for (const [letter, size] of units) {
    if (words.length === 2) break;
    const count = Math.trunc(seconds / size);
    if (count === 0 && (words.length === 0 || letter === 's')) continue;
    words.push(`${count}${letter}`);
    seconds %= size;
  }
  return words.length === 0 ? '0s' : words.join('');
}

function sessionLine({id, protocol, source, frontend, backend, server, app, ageMs, idleMs, busy}: SessionControl): string {
  const family = source.includes('[') || source.split(':').length > 2 ? 'v6' : 'v4';
  const place = `fe=${frontend} be=${backend ?? '<NONE>'} srv=${server ?? '<none>'}`;
  return `${hexadecimal(id)}: proto=${protocol}${family} src=${source} ${place} ts=00 age=${shortAge(ageMs)} idle=${shortAge(idleMs)} busy=${busy ? 1 : 0} app=${app ?? '<none>'}\n`;
}

function findSession(control: GatewayControl, word: string): SessionControl | null {
  const id = parseHexadecimal(word);
  if (id === null) return null;
  for (const session of control.sessions()) if (session.id === id) return session;
  return null;
}

function* allSessions(control: GatewayControl): Generator<string> {
  for (const session of control.sessions()) yield sessionLine(session);
}

function show({control, args: [word]}: CommandContext): string | Iterable<string> {
  if (word?.startsWith('0x') !== true) return allSessions(control);
  const session = findSession(control, word);
  return session === null ? refuse('Session not found.\n') : sessionLine(session);
}

function shutdown({control, args: [word]}: CommandContext): string {
  if (word === undefined) return refuse("Session pointer expected (use 'show sess').\n");
  const session = findSession(control, word) ?? refuse("No such session (use 'show sess').\n");
  session.shutdown();
  return '';
}

export const sessionCommands: readonly Command[] = [
  {name: 'show sess', args: '[id]', help: 'report the list of current sessions or dump this exact session', level: 'operator', run: show},
  {name: 'shutdown session', args: '[id]', help: 'kill a specific session', level: 'admin', run: shutdown},
];
