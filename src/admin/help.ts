/** Lists of commands: what `help` prints, and what is said to a command that does not exist. */
import {nearest} from '../config/suggestion.ts';
import type {Command} from './command.ts';

/** Those that every list ends with. */
const always = new Set(['help', 'prompt', 'quit']);

export function helpText(commands: readonly Command[], words: readonly string[]): string {
  const chosen = words.length === 0 ? commands : [...matching(commands, words), ...commands.filter(({name}) => always.has(name))];
  return `The following commands are valid at this level:\n${list(chosen)}`;
}

export function unknownCommand(commands: readonly Command[], words: readonly string[]): string {
  const similar = words.length === 0 ? [] : matching(commands, words);
  if (similar.length === 0) return `Unknown command. Please enter one of the following commands only:\n${list(commands)}`;
  return `Unknown command, but maybe one of the following ones is a better match:\n${list([...similar, ...commands.filter(({name}) => always.has(name))])}`;
}

/** Those that begin with the most of the words; else those whose names are similar. */
function matching(commands: readonly Command[], words: readonly string[]): readonly Command[] {
  const others = commands.filter(({name}) => !always.has(name));
  for (let count = words.length; count > 0; count--) {
    const beginning = words.slice(0, count).join(' ');
    const found = others.filter(({name}) => name === beginning || name.startsWith(`${beginning} `));
    if (found.length > 0) return found;
  }
  const [word = ''] = words;
  const verb = nearest(
    word,
    others.map(({name}) => name.split(' ', 1)[0] ?? ''),
  );
  return verb === undefined ? [] : others.filter(({name}) => name.split(' ', 1)[0] === verb);
}

function list(commands: readonly Command[]): string {
  return commands.map(({name, args, help}) => `  ${`${name}${args === '' ? '' : ` ${args}`}`.padEnd(40)}: ${help}\n`).join('');
}
