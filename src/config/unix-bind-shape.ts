/** `unix-bind` of `global`: what the unix sockets of frontends have in common. */
import type {Arguments} from './arguments.ts';
import {takeFileMode} from './bind-shape.ts';
import {type OptionSpec, type OptionTable, readOptions} from './options.ts';
import type {Shape} from './shapes.ts';

export interface UnixBindDefaults {
  /** Stands before each path as it is written. */
  prefix: string;
  mode: number | null;
  user: string | null;
  group: string | null;
}

export function noUnixBindDefaults(): UnixBindDefaults {
  return {prefix: '', mode: null, user: null, group: null};
}

function word(key: 'prefix' | 'user' | 'group'): OptionSpec<UnixBindDefaults> {
  return {
    usage: `<${key}>`,
    apply: (draft, args) => {
      draft[key] = args.take(`<${key}>`).text;
    },
  };
}

const options: OptionTable<UnixBindDefaults> = {
  known: {
    prefix: word('prefix'),
    mode: {
      usage: '<octal>',
      apply: (draft, args) => {
        draft.mode = takeFileMode(args);
      },
    },
    user: word('user'),
    uid: {usage: '<number>', apply: word('user').apply},
    group: word('group'),
    gid: {usage: '<number>', apply: word('group').apply},
  },
  ignored: new Map(),
  later: new Set(),
};

export const unixBind: Shape<UnixBindDefaults> = {
  usage: '[prefix <prefix>] [mode <octal>] [user <user> | uid <number>] [group <group> | gid <number>]',
  read: (args: Arguments) => readOptions(args, options, noUnixBindDefaults()),
};
