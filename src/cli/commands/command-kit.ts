/** What the groups of commands share: the option that names the configuration, values of options, and the exit status. */
import {type Command, type CommandOptions, InvalidArgumentError, Option} from 'commander';
import {parseTime} from '../../config/units.ts';
import {sinceDay} from '../since-day.ts';

export interface FileOption {
  readonly file: string[] | undefined;
}

export interface JsonOption extends FileOption {
  readonly json: boolean;
}

function collect(file: string, before: string[] | undefined): string[] {
  return [...(before ?? []), file];
}

/** A command that works on the gateway of a configuration. @param options as commander's */
export function addCommand(parent: Command, name: string, description: string, options: CommandOptions = {}): Command {
  const file = new Option('-f, --file <file>', 'configuration file or directory, may be repeated; default: PICOGATE_CONFIG, else /etc/picogate/picogate.cfg');
  return parent.command(name, options).description(description).addOption(file.argParser(collect));
}

/** The exit status of the program, once there is nothing left to do. */
export function done(status: number): void {
  process.exitCode = status;
}

/** @throws InvalidArgumentError */
export function positive(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1) throw new InvalidArgumentError('a positive whole number is needed.');
  return value;
}

/** Milliseconds, of a time as the configuration has it. @throws InvalidArgumentError */
export function time(text: string): number {
  const parsed = parseTime(text);
  if (!parsed.ok) throw new InvalidArgumentError(`${parsed.reason}.`);
  if (parsed.value === 0) throw new InvalidArgumentError('more than 0 is needed.');
  return parsed.value;
}

/** Days since 1970. @throws InvalidArgumentError */
export function since(text: string): number {
  const day = sinceDay(text, Date.now());
  if (day === undefined) throw new InvalidArgumentError('a date such as 2026-11-01, or a time such as 7d, is needed.');
  return day;
}
