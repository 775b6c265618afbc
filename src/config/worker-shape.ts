/** Several hosts that run the same apps: what may follow `worker` in `global` and `on-worker` in `app`. */
import {isIPv4} from 'node:net';
import type {Arguments} from './arguments.ts';
import {isName, nameRule} from './names.ts';
import type {Shape} from './shapes.ts';
import {didYouMean} from './suggestion.ts';
import {parseInteger, parsePort, parseSize, parseTime} from './units.ts';

/** This host as one of several workers. */
export interface WorkerConfig {
  readonly name: string;
  /** Where the other workers reach this one. */
  readonly address: string;
  /** Ports of that address; each port that an app exposes gets one of them. */
  readonly ports: {readonly first: number; readonly last: number};
  /** What apps may take here, by their `memory`; null: what the host has. */
  readonly memoryBytes: number | null;
  /** How many may be awake here; null: no limit. */
  readonly appsMax: number | null;
  readonly labels: Readonly<Record<string, string>>;
}

/** `KEY=VALUE`. */
export interface Label {
  readonly key: string;
  readonly value: string;
}

const defaultPorts = {first: 20_000, last: 29_999} as const;
const optionNames = ['address', 'ports', 'memory', 'apps', 'label'] as const;

export const worker: Shape<WorkerConfig> = {
  usage: '<name> address <ip> [ports <first>-<last>] [memory <size>] [apps <number>] [label <key>=<value>]...',
  read(args) {
    const word = args.take('<name>');
    if (!isName(word.text)) throw args.invalid(word, nameRule);
    let address: string | undefined;
    let ports: WorkerConfig['ports'] = defaultPorts;
    let memoryBytes: number | null = null;
    let appsMax: number | null = null;
    const labels: Record<string, string> = {};
    while (!args.atEnd) {
      const option = args.take('an option');
      if (option.text === 'address') address = readAddress(args);
      else if (option.text === 'ports') ports = readPorts(args);
      else if (option.text === 'memory') memoryBytes = args.takeParsed('<size>', parseSize);
      else if (option.text === 'apps') appsMax = args.takeParsed('<number>', (text) => parseInteger(text, {min: 1, max: 1_000_000}));
      else if (option.text === 'label') addLabel(labels, readLabel(args));
      else throw args.invalid(option, `${optionNames.join(', ')} are possible${didYouMean(option.text, optionNames)}`);
    }
    if (address === undefined) throw args.invalid(word, "'address' is needed: where the other workers reach this one");
    return {name: word.text, address, ports, memoryBytes, appsMax, labels};
  },
};

/** A fraction of a second would be lost at every pause of a busy host. */
const shortestLeaseMs = 1000;

export const leaseTime: Shape<number> = {
  usage: '<time>',
  read(args) {
    const word = args.take('<time>');
    const parsed = parseTime(word.text);
    if (!parsed.ok) throw args.invalid(word, parsed.reason);
    if (parsed.value < shortestLeaseMs) throw args.invalid(word, 'at least 1s is needed');
    return parsed.value;
  },
};

export const workerLabel: Shape<Label> = {usage: '<key>=<value>', read: readLabel};

function readAddress(args: Arguments): string {
  const word = args.take('<ip>');
  if (!isIPv4(word.text) || word.text === '0.0.0.0') throw args.invalid(word, 'an IPv4 address of this host is expected');
  if (word.text.startsWith('127.')) throw args.invalid(word, 'other hosts cannot reach a loopback address');
  return word.text;
}

function readPorts(args: Arguments): WorkerConfig['ports'] {
  const word = args.take('<first>-<last>');
  const [first, last, ...rest] = word.text.split('-').map(parsePort);
  if (first?.ok !== true || last?.ok !== true || rest.length > 0 || first.value > last.value)
    throw args.invalid(word, 'two ports such as 20000-29999 are expected');
  return {first: first.value, last: last.value};
}

function readLabel(args: Arguments): Label {
  const word = args.take('<key>=<value>');
  const [key = '', value = '', ...rest] = word.text.split('=');
  if (!isName(key) || !isName(value) || rest.length > 0) throw args.invalid(word, `KEY=VALUE is expected; ${nameRule}`);
  return {key, value};
}

function addLabel(labels: Record<string, string>, {key, value}: Label): void {
  labels[key] = value;
}

/** What a worker needs that a single host does not. @returns what is missing, as a message; null when nothing is */
export function workerProblem(global: {
  readonly redis: {readonly kind: string};
  readonly store: {readonly kind: string};
  readonly privateRange: unknown;
}): string | null {
  if (global.redis.kind === 'embedded') return "'worker' needs 'redis': one that all workers share";
  if (global.store.kind !== 's3') return "'worker' needs 'store s3://...': one that all workers share";
  if (global.privateRange === 'auto') return "'worker' needs 'private-range': the same one on all workers, since apps keep their addresses";
  return null;
}
