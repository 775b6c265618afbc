/** The gateway's side of `picogate exec`: whether a command may join an app, and how. */
import {randomUUID} from 'node:crypto';
import {CodedError} from '../core/errors.ts';
import type {ControlHandler} from '../store/control-message.ts';
import type {Json} from '../store/json.ts';
import type {App} from '../supervisor/app.ts';
import type {GuestCommand} from '../supervisor/guest-commands.ts';

function field(args: Json, name: string): unknown {
  return typeof args === 'object' && args !== null ? Reflect.get(args, name) : undefined;
}

function requestedCommand(args: Json): GuestCommand {
  const [words, user, term, size] = [field(args, 'words'), field(args, 'user'), field(args, 'term'), field(args, 'size')];
  if (!Array.isArray(words) || words.length === 0) throw new CodedError('ERR_BAD_COMMAND', 'Cannot run a command: it has no words', {source: 'client'});
  const terminal = typeof term === 'string';
  return {args: words.map(String), user: typeof user === 'string' ? user : null, env: terminal ? {TERM: term} : {}, terminal, consoleSize: sizeIn(size)};
}

/** Null: it is not known. */
function sizeIn(size: unknown): GuestCommand['consoleSize'] {
  if (typeof size !== 'object' || size === null) return null;
  const [width, height] = [Reflect.get(size, 'columns'), Reflect.get(size, 'rows')].map(Number);
  const isSize = (side: number | undefined): side is number => Number.isInteger(side) && Number(side) > 0 && Number(side) < 2 ** 16;
  return isSize(width) && isSize(height) ? {width, height} : null;
}

/** @param requestedApp @throws CodedError when there is none of that name */
export function execHandlers(requestedApp: (args: Json) => App): Readonly<Record<string, ControlHandler>> {
  return {
    async exec(args) {
      const app = requestedApp(args);
      const command = requestedCommand(args);
      const {guests} = app.container;
      const id = randomUUID();
      // Before the state is looked at: an app that is falling asleep stays awake for it.
      const cgroupPath = guests.expect(id);
      try {
        const {state} = app.status();
        if (state === 'hibernated' || state === 'stopped' || state === 'failed') {
          const name = String(field(args, 'name'));
          throw new CodedError('ERR_ASLEEP', `Cannot run a command in app "${name}": it is ${state}; --wake wakes it first`, {source: 'client'});
        }
        await app.wake({kind: 'operator'});
        // As JSON: the specification is runc's, and nothing on the way looks into it.
        return {id, spec: JSON.stringify(await app.container.guestSpec(command, cgroupPath))};
      } catch (error) {
        guests.ended(id);
        throw error;
      }
    },
    async 'exec ended'(args) {
      const id = field(args, 'id');
      if (typeof id === 'string') requestedApp(args).container.guests.ended(id);
      return 'ended';
    },
  };
}
