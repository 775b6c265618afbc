/** What may come next on a command line: from the tree of commands, and names from the gateway. */
import type {Argument, Command, Option} from 'commander';

export interface Candidate {
  readonly text: string;
  readonly description: string;
}

export type NameKind = 'app' | 'worker' | 'image';

export interface Expected {
  readonly candidates: readonly Candidate[];
  /** Names that the gateway knows. */
  readonly names: NameKind | null;
  /** The shell completes a path. */
  readonly files: boolean;
}

const nothing: Expected = {candidates: [], names: null, files: false};
const kinds: Readonly<Record<string, NameKind>> = {app: 'app', apps: 'app', worker: 'worker', image: 'image', images: 'image'};
const paths: ReadonlySet<string> = new Set(['file', 'source', 'directory', 'path']);

/** @param words after the program's name; the last one is what is being written, and may be empty */
export function expectedNext(program: Command, words: readonly string[]): Expected {
  const current = words.at(-1) ?? '';
  let command = program;
  let given = 0;
  let pending: Option | undefined;
  for (const word of words.slice(0, -1)) {
    if (pending !== undefined) {
      pending = undefined;
    } else if (word === '--') {
      return nothing;
    } else if (word.startsWith('-')) {
      const option = command.options.find(({short, long}) => word === short || word === long);
      pending = option?.required === true ? option : undefined;
    } else {
      const next = given === 0 ? subcommand(command, word) : undefined;
      command = next ?? command;
      given = next === undefined ? given + 1 : 0;
    }
  }
  const expected = pending === undefined ? positional(command, current, given) : expectedValue(pending);
  return {...expected, candidates: expected.candidates.filter(({text}) => text.startsWith(current))};
}

function subcommand(command: Command, word: string): Command | undefined {
  return command.commands.find((child) => child.name() === word || child.aliases().includes(word));
}

function expectedValue({argChoices, long}: Option): Expected {
  if (argChoices !== undefined) return {...nothing, candidates: argChoices.map((text) => ({text, description: ''}))};
  const name = long?.slice(2) ?? '';
  return {...nothing, names: kinds[name] ?? null, files: paths.has(name)};
}

function positional(command: Command, current: string, given: number): Expected {
  if (current.startsWith('-')) {
    const options = command.options.filter(({hidden}) => !hidden).map(({long, short, description}) => ({text: long ?? short ?? '', description}));
    return {...nothing, candidates: [...options, {text: '--help', description: 'display help'}]};
  }
  const children = given === 0 ? command.commands : [];
  const listed = children.map((child) => ({text: child.name(), description: child.description()}));
  const argument = argumentAt(command, given);
  const choices = argument?.argChoices?.map((text) => ({text, description: ''})) ?? [];
  return {candidates: [...listed, ...choices], names: kinds[argument?.name() ?? ''] ?? null, files: paths.has(argument?.name() ?? '')};
}

/** The last one may come again and again. */
function argumentAt({registeredArguments}: Command, given: number): Argument | undefined {
  const last = registeredArguments.at(-1);
  return registeredArguments[given] ?? (last?.variadic === true ? last : undefined);
}
