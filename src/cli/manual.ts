/** The manual pages: picogate(1) from the tree of commands and the topics, picogate.cfg(5) from the tables of keywords. */
import type {Command} from 'commander';
import {renderReference} from '../config/reference.ts';
import {inline, markdownRoff, page, plain, section} from './roff.ts';
import {readTopic, topicNames} from './topics.ts';

function optionsRoff({options}: Command): string {
  return options
    .filter(({hidden}) => !hidden)
    .map(({flags, description}) => `.TP\n\\fB${plain(flags)}\\fR\n${inline(description)}\n`)
    .join('');
}

/** All that do something, below `command` too. */
function leaves(command: Command, path: readonly string[]): {readonly name: string; readonly command: Command}[] {
  if (command.commands.length > 0) return command.commands.flatMap((child) => leaves(child, [...path, child.name()]));
  return [{name: path.join(' '), command}];
}

function commandRoff({name, command}: {readonly name: string; readonly command: Command}): string {
  const operands = command.registeredArguments.map((argument) => {
    const text = `${argument.name()}${argument.variadic ? '...' : ''}`;
    return argument.required ? text : `[${text}]`;
  });
  return `.SS "picogate ${plain([name, ...operands].join(' '))}"\n${inline(command.description())}\n${optionsRoff(command)}`;
}

export async function programPage(program: Command): Promise<string> {
  const topics = await Promise.all((await topicNames()).map(readTopic));
  const texts = topics.flatMap((topic) => (topic === null ? [] : [`.SS "${plain(topic.title)}"\n${markdownRoff(topic.body, {headingMacro: '.SS'})}`]));
  const synopsis = '.B picogate\n.I command\n[options] [arguments]\n.br\n.B picogate\n[options of\n.BR haproxy (1)]\n';
  const content = [
    section('Synopsis', synopsis),
    section('Description', `${inline(program.description())}\n`),
    section('Commands', leaves(program, []).map(commandRoff).join('')),
    section('Topics', texts.join('')),
    section(
      'Environment',
      '.TP\n.B PICOGATE_CONFIG\nThe configuration, where no option names one.\n.TP\n.B NO_COLOR, FORCE_COLOR, COLUMNS\nColours and width of what is printed.\n',
    ),
    section(
      'Files',
      '.TP\n.I /etc/picogate/picogate.cfg\nThe configuration.\n.TP\n.I /var/lib/picogate\nWhat a host keeps, unless\n.B state\\-dir\nsays otherwise.\n',
    ),
    section('See also', '.BR picogate.cfg (5),\n.BR haproxy (1),\n.BR criu (8)\n'),
  ];
  return page({name: 'picogate', section: 1, summary: 'an edge gateway that puts idle servers to sleep'}, content.join(''));
}

export function configurationPage(): string {
  const content = markdownRoff(renderReference().replace(/^# .*\n\nThis file is made from .*\n/, ''), {headingMacro: '.SH'});
  return page({name: 'picogate.cfg', section: 5, summary: 'configuration of picogate'}, `${section('Description', '')}${content}`);
}
