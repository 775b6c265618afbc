/** HAProxy's command line (management manual, section 3): options that may stand anywhere, each with its own number of values. */
import {CodedError} from '../core/errors.ts';

export interface HaproxyArguments {
  readonly files: readonly string[];
  readonly action: 'run' | 'check' | 'version' | 'long-version' | {readonly condition: string};
  readonly verbose: boolean;
  readonly quiet: boolean;
  /** `foreground` wins over `daemon`, and over what the configuration says. */
  readonly mode: 'foreground' | 'daemon' | null;
  readonly masterWorker: boolean;
  /** An address, and options of `bind`, between commas. */
  readonly masterSocket: string | null;
  readonly pidFile: string | null;
  /** Processes that are told to finish (`-sf`), or to terminate (`-st`), when this one is ready. */
  readonly replaced: {readonly pids: readonly number[]; readonly how: 'finish' | 'terminate'} | null;
  /** The stats socket of a process whose listening sockets are taken over. */
  readonly oldSocket: string | null;
  readonly directory: string | null;
  readonly maxconn: number | null;
  /** What is accepted and has no meaning here. */
  readonly ignored: readonly string[];
}

type Draft = {-readonly [Key in keyof HaproxyArguments]: HaproxyArguments[Key]};

function usageError(found: string): CodedError<'ERR_USAGE'> {
  return new CodedError('ERR_USAGE', `Cannot understand the command line: ${found}`, {source: 'client'});
}

/** HAProxy's command line has no word before its first option. */
export function isHaproxyCommandLine([first]: readonly string[]): boolean {
  return first?.startsWith('-') === true && !['-h', '--help', '--version'].includes(first);
}

/** @throws CodedError ERR_USAGE */
export function parseHaproxyArguments(args: readonly string[]): HaproxyArguments {
  const draft: Draft = {
    files: [],
    action: 'run',
    verbose: false,
    quiet: false,
    mode: null,
    masterWorker: false,
    masterSocket: null,
    pidFile: null,
    replaced: null,
    oldSocket: null,
    directory: null,
    maxconn: null,
    ignored: [],
  };
  for (let rest = args; rest.length > 0; ) rest = takeOption(draft, rest);
  return draft;
}

function wordAfter(option: string, value: string | undefined): string {
  if (value === undefined || value.startsWith('-')) throw usageError(`"${option}" needs a value`);
  return value;
}

function numberOf(option: string, value: string | undefined): number {
  const text = wordAfter(option, value);
  if (!/^\d{1,9}$/.test(text)) throw usageError(`"${option}" needs a number, not "${text}"`);
  return Number(text);
}

/** @returns what comes after the option and its values */
function takeOption(draft: Draft, [option = '', ...rest]: readonly string[]): readonly string[] {
  const [value] = rest;
  switch (option) {
    case '--':
      draft.files = [...draft.files, ...rest];
      return [];
    case '-f':
      draft.files = [...draft.files, wordAfter(option, value)];
      return rest.slice(1);
    case '-sf':
    case '-st':
      return takeReplaced(draft, option, rest);
    case '-cc':
      // A condition may begin with anything.
      if (value === undefined) throw usageError('"-cc" needs a condition');
      draft.action = {condition: value};
      return rest.slice(1);
    default:
      return takeSwitch(draft, option) ? rest : takeValue(draft, option, rest);
  }
}

function takeReplaced(draft: Draft, option: '-sf' | '-st', rest: readonly string[]): readonly string[] {
  const end = rest.findIndex((word) => word.startsWith('-'));
  const words = end === -1 ? rest : rest.slice(0, end);
  const pids = words.flatMap((word) => word.split(/\s+/)).filter((word) => word !== '');
  if (!pids.every((word) => /^\d{1,9}$/.test(word) && Number(word) > 1)) throw usageError(`"${option}" needs numbers of processes`);
  // An empty list is what a pid file of a process that does not run gives.
  if (pids.length > 0) draft.replaced = {pids: pids.map(Number), how: option === '-sf' ? 'finish' : 'terminate'};
  return rest.slice(words.length);
}

const switches: Readonly<Record<string, (draft: Draft) => void>> = {
  '-c': (draft) => {
    draft.action = 'check';
  },
  '-v': (draft) => {
    draft.action = 'version';
  },
  '-vv': (draft) => {
    draft.action = 'long-version';
  },
  '-V': (draft) => {
    draft.verbose = true;
  },
  '-q': (draft) => {
    draft.quiet = true;
  },
  '-D': (draft) => {
    draft.mode ??= 'daemon';
  },
  '-d': (draft) => {
    draft.mode = 'foreground';
  },
  '-db': (draft) => {
    draft.mode = 'foreground';
  },
  '-W': (draft) => {
    draft.masterWorker = true;
  },
  // systemd is told in any case, when it wants to know.
  '-Ws': (draft) => {
    draft.masterWorker = true;
    draft.mode = 'foreground';
  },
};

/** Debugging switches of HAProxy: `-dM`, `-dS`, `-dV`, ... */
const debugging = /^-d[A-Za-z][A-Za-z0-9=,^]*$/;

function takeSwitch(draft: Draft, option: string): boolean {
  const set = switches[option];
  if (set !== undefined) set(draft);
  else if (debugging.test(option)) draft.ignored = [...draft.ignored, option];
  else return false;
  return true;
}

function takeValue(draft: Draft, option: string, rest: readonly string[]): readonly string[] {
  const [value] = rest;
  switch (option) {
    case '-p':
      draft.pidFile = wordAfter(option, value);
      break;
    case '-S':
      draft.masterSocket = wordAfter(option, value);
      break;
    case '-x':
      // HAProxy's way to say that there is none.
      draft.oldSocket = wordAfter(option, value) === '/dev/null' ? null : wordAfter(option, value);
      break;
    case '-C':
      draft.directory = wordAfter(option, value);
      break;
    case '-n':
      draft.maxconn = numberOf(option, value);
      break;
    case '-N':
    case '-m':
      numberOf(option, value);
      draft.ignored = [...draft.ignored, option];
      break;
    case '-L':
      // The name of this peer; there are no peers whom it could be told.
      wordAfter(option, value);
      break;
    default:
      throw usageError(`unknown option "${option}"`);
  }
  return rest.slice(1);
}

/** What HAProxy prints for a command line that it does not understand. */
export const haproxyUsage = `Usage : picogate [-f <cfgfile|cfgdir>]* [ -vdVD ] [ -n <maxconn> ] [ -p <pidfile> ] [ -- <cfgfile>* ]
        -v displays version ; -vv shows known build options.
        -d enters debug mode ; -db only disables background mode.
        -V enters verbose mode (disables quiet mode)
        -D goes daemon ; -C changes to <dir> before loading files.
        -W master-worker mode: SIGUSR2 reloads, as it does without.
        -Ws master-worker mode with systemd notify support.
        -q quiet mode : don't display messages
        -c check mode : only check config files and exit
        -cc check condition : evaluate a condition and exit
        -n sets the maximum total # of connections
        -L set local peer name, -N, -m: accepted, without effect
        -p writes pids of all children to this file
        -S <bind>[,<bind options>...] : binds the master CLI socket
        -sf/-st [pid ]* finishes/terminates old pids.
        -x <unix_socket> takes the listening sockets of the process behind it
The commands of Picogate's own are listed by picogate --help.
`;

/** Undefined: those of the environment, or the usual one. */
export function filesOf({files}: HaproxyArguments): readonly string[] | undefined {
  return files.length === 0 ? undefined : files;
}
