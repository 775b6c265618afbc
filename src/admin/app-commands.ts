/** Our own commands: apps that can be put to sleep. */
import {parseTime} from '../config/units.ts';
import {errorMessage} from '../core/errors.ts';
import {type Command, type CommandContext, refuse} from './command.ts';
import {oneLine} from './field.ts';
import type {AppControl, GatewayControl} from './gateway-control.ts';
import {shortAge} from './session-commands.ts';

async function allApps(control: GatewayControl): Promise<readonly AppControl[]> {
  try {
    return await control.appsAnywhere();
  } catch (error) {
    return refuse(`${errorMessage(error)}\n`);
  }
}

async function findApp(control: GatewayControl, name: string | undefined): Promise<AppControl> {
  if (name === undefined) return refuse('An app name is expected.\n');
  return (await allApps(control)).find((app) => app.name === name) ?? refuse('No such app.\n');
}

function table(apps: readonly AppControl[]): string {
  const since = (atMs: number): string => shortAge(Date.now() - atMs);
  const rows = apps.map(({name, state, address, lastWake, lastHibernate}) => {
    const wake = lastWake === null ? '- -' : `${Math.round(lastWake.tookMs)} ${since(lastWake.atMs)}`;
    const hibernate = lastHibernate === null ? '- -' : `${Math.round(lastHibernate.tookMs)} ${since(lastHibernate.atMs)}`;
    return `${name} ${state} ${address ?? '-'} ${wake} ${hibernate}\n`;
  });
  return `# name state address last_wake_ms last_wake_age last_hibernate_ms last_hibernate_age\n${rows.join('')}`;
}

function details({name, state, address, lastWake, lastHibernate, lastError, pinned}: AppControl): string {
  const at = (ms: number): string => new Date(ms).toISOString();
  return [
    `name: ${name}`,
    `state: ${state}`,
    `address: ${address ?? '-'}`,
    `last_wake: ${lastWake === null ? '-' : `${at(lastWake.atMs)} in ${Math.round(lastWake.tookMs)} ms, by ${oneLine(lastWake.trigger)}`}`,
    `last_hibernate: ${lastHibernate === null ? '-' : `${at(lastHibernate.atMs)} in ${Math.round(lastHibernate.tookMs)} ms, ${lastHibernate.bytesWritten} bytes`}`,
    `last_error: ${oneLine(lastError ?? '-')}`,
    `pinned: ${pinned === null ? '-' : `by ${pinned.by === 'operator' ? 'an operator' : 'the configuration'}${pinned.untilMs === null ? '' : ` until ${at(pinned.untilMs)}`}`}`,
    '',
  ].join('\n');
}

async function wake({control, args: [name]}: CommandContext): Promise<string> {
  const app = await findApp(control, name);
  try {
    await app.wake();
    return '';
  } catch (error) {
    return refuse(`${errorMessage(error)}\n`);
  }
}

async function hibernate({control, args: [name, force]}: CommandContext): Promise<string> {
  const app = await findApp(control, name);
  if (force !== undefined && force !== 'force') return refuse("Only 'force' may follow the app name.\n");
  let ended: 'hibernated' | 'cancelled';
  try {
    ended = await app.hibernate({force: force !== undefined});
  } catch (error) {
    return refuse(`${errorMessage(error)}\n`);
  }
  return ended === 'hibernated' ? '' : refuse('Somebody asked for the app meanwhile: it goes on running.\n');
}

async function pin({control, args: [name, time]}: CommandContext): Promise<string> {
  const app = await findApp(control, name);
  const forMs = time === undefined ? null : timeOf(time);
  await app.pin(forMs === null ? null : Date.now() + forMs);
  return '';
}

/** A number alone is refused: elsewhere it is milliseconds, or seconds. */
function timeOf(text: string): number {
  const parsed = parseTime(text);
  const isTime = /[a-z]$/.test(text) && parsed.ok && parsed.value > 0;
  return isTime ? parsed.value : refuse('Expects a time with its unit, as 30m or 8h.\n');
}

async function unpin({control, args: [name]}: CommandContext): Promise<string> {
  await (await findApp(control, name)).unpin();
  return '';
}

export const appCommands: readonly Command[] = [
  {name: 'hibernate app', args: '<app> [force]', help: 'put an app to sleep (force: although it is pinned)', level: 'admin', run: hibernate},
  {name: 'pin app', args: '<app> [<time>]', help: 'keep an app awake, once it is', level: 'admin', run: pin},
  {
    name: 'show app',
    args: '[<app>]',
    help: 'list the apps and what they do, or tell all about one',
    level: 'user',
    run: async ({control, args: [name]}) => (name === undefined ? table(await allApps(control)) : details(await findApp(control, name))),
  },
  {name: 'unpin app', args: '<app>', help: 'let an app sleep again', level: 'admin', run: unpin},
  {name: 'wake app', args: '<app>', help: 'wake an app, and wait until it is ready', level: 'admin', run: wake},
];
