/** Our own commands: apps that can be put to sleep. */
import {errorMessage} from '../core/errors.ts';
import {type Command, type CommandContext, refuse} from './command.ts';
import {oneLine} from './field.ts';
import type {AppControl, GatewayControl} from './gateway-control.ts';
import {shortAge} from './session-commands.ts';

function findApp(control: GatewayControl, name: string | undefined): AppControl {
  if (name === undefined) return refuse('An app name is expected.\n');
  for (const app of control.apps()) if (app.name === name) return app;
  return refuse('No such app.\n');
}

function* table(control: GatewayControl): Generator<string> {
  yield '# name state address last_wake_ms last_wake_age last_hibernate_ms last_hibernate_age\n';
  for (const {name, state, address, lastWake, lastHibernate} of control.apps()) {
    const since = (atMs: number): string => shortAge(Date.now() - atMs);
    const wake = lastWake === null ? '- -' : `${Math.round(lastWake.tookMs)} ${since(lastWake.atMs)}`;
    const hibernate = lastHibernate === null ? '- -' : `${Math.round(lastHibernate.tookMs)} ${since(lastHibernate.atMs)}`;
    yield `${name} ${state} ${address ?? '-'} ${wake} ${hibernate}\n`;
  }
}

function details({name, state, address, lastWake, lastHibernate, lastError}: AppControl): string {
  const at = (ms: number): string => new Date(ms).toISOString();
  return [
    `name: ${name}`,
    `state: ${state}`,
    `address: ${address ?? '-'}`,
    `last_wake: ${lastWake === null ? '-' : `${at(lastWake.atMs)} in ${Math.round(lastWake.tookMs)} ms, by ${oneLine(lastWake.trigger)}`}`,
    `last_hibernate: ${lastHibernate === null ? '-' : `${at(lastHibernate.atMs)} in ${Math.round(lastHibernate.tookMs)} ms, ${lastHibernate.bytesWritten} bytes`}`,
    `last_error: ${oneLine(lastError ?? '-')}`,
    '',
  ].join('\n');
}

async function wake({control, args: [name]}: CommandContext): Promise<string> {
  const app = findApp(control, name);
  try {
    await app.wake();
    return '';
  } catch (error) {
    return refuse(`${errorMessage(error)}\n`);
  }
}

async function hibernate({control, args: [name]}: CommandContext): Promise<string> {
  const app = findApp(control, name);
  let ended: 'hibernated' | 'cancelled';
  try {
    ended = await app.hibernate();
  } catch (error) {
    return refuse(`${errorMessage(error)}\n`);
  }
  return ended === 'hibernated' ? '' : refuse('Somebody asked for the app meanwhile: it goes on running.\n');
}

export const appCommands: readonly Command[] = [
  {name: 'hibernate app', args: '<app>', help: 'put an app to sleep', level: 'admin', run: hibernate},
  {
    name: 'show app',
    args: '[<app>]',
    help: 'list the apps and what they do, or tell all about one',
    level: 'user',
    run: ({control, args: [name]}) => (name === undefined ? table(control) : details(findApp(control, name))),
  },
  {name: 'wake app', args: '<app>', help: 'wake an app, and wait until it is ready', level: 'admin', run: wake},
];
