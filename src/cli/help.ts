/** `picogate help`: on a command as --help gives it, or on a topic. */
import type {Command} from 'commander';
import {CodedError} from '../core/errors.ts';
import {exitStatus} from './exit-status.ts';
import {type Part, partsOf} from './markdown.ts';
import {lineWidth, styled} from './terminal.ts';
import {readTopic, topicNames} from './topics.ts';

const widest = 100;

/** @returns the exit status. @throws CodedError ERR_UNKNOWN_TOPIC */
export async function help(program: Command, subject: readonly string[]): Promise<number> {
  if (subject.length === 0) {
    const topics = await Promise.all((await topicNames()).map(readTopic));
    const names = topics.flatMap((topic) => (topic === null ? [] : [`  ${topic.name.padEnd(16)} ${topic.title}`]));
    process.stdout.write(`${program.helpInformation()}\nTopics (picogate help TOPIC):\n${names.join('\n')}\n`);
    return exitStatus.done;
  }
  const command = commandOf(program, subject);
  if (command !== undefined) {
    command.outputHelp();
    return exitStatus.done;
  }
  const topic = await readTopic(subject.join('-'));
  if (topic === null) {
    const known = (await topicNames()).join(', ');
    throw new CodedError('ERR_UNKNOWN_TOPIC', `Cannot help with "${subject.join(' ')}": it is no command, and the topics are ${known}`, {source: 'client'});
  }
  process.stdout.write(`${styled(topic.title, 'bold')}\n\n${topicText(topic.body, Math.min(widest, lineWidth()))}`);
  return exitStatus.done;
}

function commandOf(program: Command, subject: readonly string[]): Command | undefined {
  let command: Command | undefined = program;
  for (const word of subject) command = command?.commands.find((child) => child.name() === word || child.aliases().includes(word));
  return command;
}

/** As it is read in a terminal of that width. */
export function topicText(markdown: string, width: number): string {
  const parts = partsOf(markdown);
  return parts.map((part, at) => `${textOf(part, width)}${part.kind === 'item' && parts[at + 1]?.kind === 'item' ? '' : '\n'}`).join('');
}

function textOf(part: Part, width: number): string {
  switch (part.kind) {
    case 'heading':
      return `${part.text}\n`;
    case 'paragraph':
      return wrapped(part.text, width, '');
    case 'item':
      return wrapped(part.text, width, '  ').replace(/^ {2}/, '- ');
    case 'code':
      return part.lines.map((line) => `    ${line}\n`).join('');
    case 'row':
      return `  ${part.cells.join('  ')}\n`;
    default:
      return part satisfies never;
  }
}

function wrapped(text: string, width: number, indent: string): string {
  const lines: string[] = [];
  let line = indent;
  for (const word of text.replaceAll('`', '').split(/\s+/)) {
    if (line.trim() !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = indent;
    }
    line = line.trim() === '' ? `${indent}${word}` : `${line} ${word}`;
  }
  return [...lines, line].map((one) => `${one}\n`).join('');
}
