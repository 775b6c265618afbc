/** What a command of the runtime API is, and how the right one is found. */
import {CodedError} from '../core/errors.ts';
import type {GatewayControl} from './gateway-control.ts';

export const levels = ['user', 'operator', 'admin'] as const;
export type Level = (typeof levels)[number];

export interface StatsSocketFacts {
  /** `unix@/run/x.sock`, `ipv4@127.0.0.1:9999` */
  readonly address: string;
  readonly level: Level;
}

/** What a command sees. The setters change the connection that it came from. */
export interface CommandContext {
  readonly control: GatewayControl;
  readonly sockets: readonly StatsSocketFacts[];
  readonly level: Level;
  /** All words of the command. */
  readonly words: readonly string[];
  /** The words after those that name the command. */
  readonly args: readonly string[];
  /** The lines after `<<`, without the empty one that ends them; null: there was no `<<`. */
  readonly payload: string | null;
  readonly setLevel: (level: Level) => void;
  readonly setTimeoutMs: (timeoutMs: number) => void;
  readonly togglePrompt: () => void;
  readonly quit: () => void;
}

/** Printed as it is; an empty line follows. Long ones come in pieces. */
export type Answer = string | Iterable<string>;

export interface Command {
  /** `set maxconn frontend` */
  readonly name: string;
  /** What `help` shows after the name. */
  readonly args: string;
  readonly help: string;
  /** The least level that may use it. */
  readonly level: Level;
  run(context: CommandContext): Answer | Promise<Answer>;
}

export class CommandRefusal extends CodedError<'ERR_COMMAND_REFUSED'> {
  constructor(message: string) {
    super('ERR_COMMAND_REFUSED', message, {source: 'client'});
  }
}

/** Refuses a command with HAProxy's words. @throws CommandRefusal */
export function refuse(message: string): never {
  throw new CommandRefusal(message);
}

export function isAllowed(command: Command, level: Level): boolean {
  return levels.indexOf(level) >= levels.indexOf(command.level);
}

/** The command with the longest name that the words begin with. */
export function findCommand(commands: readonly Command[], words: readonly string[]): {readonly command: Command; readonly args: readonly string[]} | null {
  let best: {command: Command; args: readonly string[]} | null = null;
  let longest = 0;
  for (const command of commands) {
    const name = command.name.split(' ');
    if (name.length <= longest || !name.every((word, index) => words[index] === word)) continue;
    longest = name.length;
    best = {command, args: words.slice(name.length)};
  }
  return best;
}
