/** What the groups of commands share: the option that names the configuration, values of options, and the exit status. */
import {type Command, type CommandOptions, InvalidArgumentError, Option} from 'commander';
import {parseTime} from '../../config/units.ts';
import type {ListingOptions} from '../listing.ts';
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

export type ListOptions = FileOption & ListingOptions;

/** Every listing has these. */
export function addListing(parent: Command, name: string, description: string, options: CommandOptions = {}): Command {
  return addListingOptions(addCommand(parent, name, description, options)).addOption(
    new Option('--sort <column>', 'sort by a column, named as in --csv; -column: the other way round'),
  );
}

export function addListingOptions(command: Command): Command {
  return command
    .option('--json', 'print JSON', false)
    .addOption(new Option('--csv', 'print comma-separated values').default(false).conflicts('json'))
    .addOption(watchOption());
}

/** Of what asks before it does something. */
export function yesOption(): Option {
  return new Option('-y, --yes', 'do not ask').default(false);
}

/** Milliseconds. */
export function watchOption(): Option {
  return new Option('-w, --watch [seconds]', 'again and again, every 2 s or as often as this says, until Ctrl-C').argParser(interval).preset('2');
}

function interval(text: string): number {
  const seconds = Number(text);
  if (!(seconds >= 0.1 && seconds <= 86_400)) throw new InvalidArgumentError('a number of seconds from 0.1 on is needed.');
  return Math.round(seconds * 1000);
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
