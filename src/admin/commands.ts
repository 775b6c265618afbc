/** All commands of the runtime API, and how one is carried out. */
import {CodedError, errorMessage} from '../core/errors.ts';
import {appCommands} from './app-commands.ts';
import {certificateCommands} from './certificate-commands.ts';
import {type Answer, type Command, type CommandContext, findCommand, isAllowed} from './command.ts';
import {helpText, unknownCommand} from './help.ts';
import {patternCommands} from './pattern-commands.ts';
import {processCommands} from './process-commands.ts';
import {proxyCommands} from './proxy-commands.ts';
import {serverCommands} from './server-commands.ts';
import {sessionCommands} from './session-commands.ts';
import {tableCommands} from './table-commands.ts';
import {ticketKeyCommands} from './ticket-key-commands.ts';
import {variableCommands} from './variable-commands.ts';

const ordered = [
  ...appCommands,
  ...certificateCommands,
  ...patternCommands,
  ...processCommands,
  ...proxyCommands,
  ...serverCommands,
  ...sessionCommands,
  ...tableCommands,
  ...variableCommands,
  ...ticketKeyCommands,
].sort((a, b) => (a.name < b.name ? -1 : 1));

/** In the order in which they are listed. */
export const commands: readonly Command[] = [
  ...ordered,
  {name: 'help', args: '[<command>]', help: 'list matching or all commands', level: 'user', run: ({args}) => helpText(commands, args)},
  {
    name: 'prompt',
    args: '',
    help: 'toggle interactive mode with prompt',
    level: 'user',
    run({togglePrompt}) {
      togglePrompt();
      return '';
    },
  },
  {
    name: 'quit',
    args: '',
    help: 'disconnect',
    level: 'user',
    run({quit}) {
      quit();
      return '';
    },
  },
];

/** `@1`, `@!PID` and `@master` of HAProxy's master socket: all of them mean this one process. */
function addressee(words: readonly string[], pid: number): {readonly words: readonly string[]; readonly unknown: string | null} {
  const [first = ''] = words;
  if (!first.startsWith('@') || first === '@') return {words, unknown: null};
  const known = first === '@1' || first === '@0' || first === '@master' || first === `@!${pid}`;
  return {words: words.slice(1), unknown: known ? null : first};
}

/** Never throws: what is wrong is the answer. */
export async function carryOut(context: CommandContext): Promise<Answer> {
  const {words, unknown} = addressee(context.words, context.control.process().pid);
  if (unknown !== null) return `Can't find the target PID matching the prefix '${unknown}'\n`;
  if (words.length === 0 && context.words.length > 0) return '';
  const found = findCommand(commands, words);
  if (found === null) return unknownCommand(commands, words);
  if (!isAllowed(found.command, context.level)) return 'Permission denied\n';
  try {
    return await found.command.run({...context, words, args: found.args});
  } catch (error) {
    // Refusals bring their own line end, or none, as HAProxy's do.
    if (error instanceof CodedError && error.code === 'ERR_COMMAND_REFUSED') return error.message;
    return `${errorMessage(error)}\n`;
  }
}
