/** Commands about variables of the process (management manual, section 9.3). */
import {type Command, type CommandContext, refuse} from './command.ts';

function get({control, args: [name]}: CommandContext): string {
  if (name === undefined) return refuse('Missing process-wide variable identifier.\n');
  const found = control.variables.get(name);
  if (found === null) return refuse('Variable not found.\n');
  return `${name}: type=${found.type} value=<${found.text.replace(/[^\x20-\x7e]/g, '.')}>`;
}

function set({control, args: [name, first, second]}: CommandContext): string {
  if (name === undefined) return refuse('Missing process-wide variable identifier.\n');
  if (first === undefined) return refuse("Missing either 'expr', 'fmt' or expression.\n");
  if (second !== undefined && first !== 'expr' && first !== 'fmt') return refuse(`'set var': arg type must be either 'expr' or 'fmt' but got '${first}'.\n`);
  control.variables.set(name, {kind: second !== undefined && first === 'fmt' ? 'format' : 'expression', text: second ?? first});
  return '';
}

/** HAProxy sets variables only after `experimental-mode on`, which is accepted here and changes nothing. */
export const variableCommands: readonly Command[] = [
  {name: 'experimental-mode', args: '[on|off]', help: 'accepted for scripts: no command needs it', level: 'operator', run: () => ''},
  {name: 'get var', args: '<name>', help: 'retrieve contents of a process-wide variable', level: 'operator', run: get},
  {name: 'set var', args: '<name> [fmt|expr] {<fmt>|<expr>}', help: 'set variable from an expression or a format', level: 'operator', run: set},
];
