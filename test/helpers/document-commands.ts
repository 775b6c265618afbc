/** The commands that sentences and tables of documents show. Those in blocks are the business of `document.ts`. */
import {globSync, readFileSync} from 'node:fs';
import {join} from 'node:path';
import {buildProgram} from '../../src/cli/commands/program.ts';
import {isHaproxyCommandLine, parseHaproxyArguments} from '../../src/cli/haproxy-arguments.ts';
import {errorCode} from '../../src/core/errors.ts';

type Command = ReturnType<typeof buildProgram>;

export interface Document {
  readonly name: string;
  readonly text: string;
}

export const top = join(import.meta.dirname, '../..');

export function readDocuments(): Document[] {
  return ['README.md', ...globSync('docs/*.md', {cwd: top}).toSorted()].map((name) => ({name, text: readFileSync(join(top, name), 'utf8')}));
}

const programs = ['picogate', 'systemctl', 'journalctl', 'ss', 'npm', 'node', 'sh', 'apt', 'apt-get'] as const;
const inCode = new RegExp(`\`(?:bin/)?((?:${programs.join('|')}) [^\`<]+)\``, 'g');

/** Without what may be left out, and with the first of several possibilities. */
function plain(line: string): string {
  return line
    .replace(/ \[[^\]]*\]/g, '')
    .replace(/\\?\|\S+/g, '')
    .trim();
}

/** Each once. In the first column of a table of commands the name of the program is left out. */
export function commandsInSentences(text: string): string[] {
  const sentences = text.replace(/^(`{3,})[\s\S]*?^\1$/gm, '');
  const table = /^\| command \|.*\n(?:\|.*\n)+/m.exec(sentences)?.[0] ?? '';
  const rows = [...table.matchAll(/^\| (`.*?`) \| /gm)].flatMap(([, cell = '']) =>
    [...cell.matchAll(/`([^`]+)`/g)].map(([, words = '']) => `picogate ${words}`),
  );
  return [...new Set([...rows, ...[...sentences.matchAll(inCode)].map(([, words = '']) => words)].map(plain))];
}

function wordsOf(line: string): string[] {
  return [...line.matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g)].map(([, single, double, bare]) => single ?? double ?? bare ?? '');
}

/** A program that reads its command line, and does nothing. */
function idle(command: Command): Command {
  command.configureOutput({writeOut: () => undefined, writeErr: () => undefined});
  if (command.commands.length === 0) command.action(() => undefined);
  for (const inner of command.commands) idle(inner);
  return command;
}

/** @param line without the program's name. @returns false when it names a command without what that works on @throws Error when no command is like this */
export function isComplete(line: string): boolean {
  // `events -f` follows, as `tail -f` does.
  const words = wordsOf(line.replace(/^events -f$/, 'events --follow'));
  try {
    if (isHaproxyCommandLine(words)) parseHaproxyArguments(words);
    else idle(buildProgram()).parse(words, {from: 'user'});
    return true;
  } catch (error) {
    if (errorCode(error) === 'commander.missingArgument') return false;
    throw error;
  }
}
