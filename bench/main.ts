/**
 * `npm run bench -- [SUITE...] [--only PART] [--rounds N] [--full | --quick] [--day MINUTES] [--minutes N] [--seed N] [--json FILE]`:
 * runs suites one after the other, writes a JSON line per sample, and prints tables at the end. Needs root and a machine that does little else.
 */
import {parseArgs} from 'node:util';
import {errorMessage} from '../src/core/errors.ts';
import {densitySuite} from './density/density-suite.ts';
import {edgeSuite} from './edge/edge-suite.ts';
import {failoverSuite} from './failover/failover-suite.ts';
import {describeMachine, type Machine} from './machine.ts';
import {pagingSuite} from './paging/paging-suite.ts';
import {openResults, type Results} from './results.ts';
import {scaleSuite} from './scale/scale-suite.ts';
import {soakSuite} from './soak/soak-suite.ts';
import {stormSuite} from './storm/storm-suite.ts';
import type {Goal, Report, Suite} from './suite.ts';
import {nothing, renderTable} from './table.ts';
import {udpSuite} from './udp/udp-suite.ts';
import {wakeSuite} from './wake/wake-suite.ts';
import {peersSuite} from './wake-peers/peers-suite.ts';

const suites: readonly Suite[] = [wakeSuite, peersSuite, pagingSuite, edgeSuite, udpSuite, scaleSuite, failoverSuite, stormSuite, densitySuite, soakSuite];

const exitStatus = {failed: 1, usage: 2} as const;

function usage(): string {
  const names = suites.map(({name, summary}) => `  ${name.padEnd(8)} ${summary}\n`).join('');
  const parts = suites.flatMap(({name, parts: known}) => (known === undefined ? [] : [`of ${name}: ${known.join(', ')}`]));
  return `Usage: npm run bench -- [SUITE...] [--only PART]... [--rounds N] [--full | --quick] [--day MINUTES] [--minutes N] [--seed N] [--json FILE]

Suites (default: all but soak)
${names}
  --only PART  only this part (${parts.join('; ')})
  --rounds N   measure each case so often
  --full       more cases
  --quick      fewer cases
  --day MINUTES  how long a simulated day takes (density)
  --minutes N  how long soak takes
  --seed N     what soak draws from (default: 1)
  --json FILE  append the samples to FILE (default: a new file below bench/results)\n`;
}

interface Wanted {
  readonly suites: readonly Suite[];
  readonly rounds: number | null;
  readonly dayMinutes: number | null;
  readonly full: boolean;
  readonly quick: boolean;
  readonly minutes: number | null;
  readonly seed: number;
  readonly only: readonly string[];
  readonly json: string | undefined;
}

/** @throws Error about the command line */
function readArguments(): Wanted | 'help' {
  const {values, positionals} = parseArgs({
    allowPositionals: true,
    options: {
      rounds: {type: 'string'},
      day: {type: 'string'},
      minutes: {type: 'string'},
      seed: {type: 'string'},
      json: {type: 'string'},
      only: {type: 'string', multiple: true, default: []},
      full: {type: 'boolean', default: false},
      quick: {type: 'boolean', default: false},
      help: {type: 'boolean', short: 'h', default: false},
    },
  });
  if (values.help) return 'help';
  const number = (name: 'rounds' | 'minutes' | 'seed'): number | null => {
    const text = values[name];
    if (text === undefined) return null;
    if (!/^[1-9]\d{0,8}$/.test(text)) throw new Error(`--${name} takes a number above 0, not "${text}"`);
    return Number(text);
  };
  const dayMinutes = values.day === undefined ? null : Number(values.day);
  if (dayMinutes !== null && !(dayMinutes > 0)) throw new Error(`--day takes minutes, not "${values.day}"`);
  const named = positionals.map((name) => {
    const suite = suites.find((candidate) => candidate.name === name);
    if (suite === undefined) throw new Error(`no suite "${name}"`);
    return suite;
  });
  const chosen = named.length === 0 ? suites.filter(({byNameOnly}) => byNameOnly !== true) : named;
  for (const part of values.only) if (!chosen.some(({parts}) => parts?.includes(part))) throw new Error(`no part "${part}"`);
  // Who wants a part wants no suite that has none.
  const wanted = values.only.length === 0 ? chosen : chosen.filter(({parts}) => parts?.some((part) => values.only.includes(part)));
  return {
    suites: wanted,
    rounds: number('rounds'),
    dayMinutes,
    full: values.full,
    quick: values.quick,
    minutes: number('minutes'),
    seed: number('seed') ?? 1,
    only: values.only,
    json: values.json,
  };
}

async function runSuite(suite: Suite, wanted: Wanted, results: Results, signal: AbortSignal): Promise<Report> {
  return suite.run({
    rounds: wanted.rounds ?? (wanted.quick ? (suite.quickRounds ?? suite.defaultRounds) : suite.defaultRounds),
    full: wanted.full,
    dayMinutes: wanted.dayMinutes,
    quick: wanted.quick,
    minutes: wanted.minutes,
    seed: wanted.seed,
    only: wanted.only,
    outputPath: results.path.replace(/\.jsonl$/, ''),
    signal,
    record: (sample) => results.add(suite.name, sample),
    progress: (text) => process.stderr.write(`${suite.name}: ${text}\n`),
  });
}

function renderGoals(goals: readonly Goal[]): string {
  const rows = goals.map(({what, goal, found, met}) => [what, goal, found, met === null ? nothing : met ? 'yes' : 'no']);
  return renderTable({title: 'Goals', head: ['figure', 'goal', 'measured', 'met'], rows});
}

function renderMachine({commit, kernel, machine}: Machine): string {
  const {cpu, cores, node, criu, redis, runc} = machine;
  return `${cpu}, ${cores} cores; Linux ${kernel}; Node ${node}, CRIU ${criu}, Redis ${redis}, runc ${runc}; commit ${commit}\n`;
}

/** What failed first, then what failed while it was tidied up. */
function allMessages(error: unknown): string {
  return error instanceof SuppressedError ? `${allMessages(error.suppressed)}\nbench: then: ${allMessages(error.error)}` : errorMessage(error);
}

/** npm passes a Ctrl-C on that the terminal has sent to all of us: within this time two signals are one. */
const sameSignalMs = 1000;

/** The first signal ends the run, and everything that it has made is removed; another one later ends the program at once. */
function stopOnSignal(stopping: AbortController): void {
  let firstMs: number | null = null;
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.on(signal, () => {
      if (firstMs !== null && performance.now() - firstMs > sameSignalMs) process.exit(exitStatus.failed);
      firstMs ??= performance.now();
      stopping.abort(new Error(`stopped by ${signal}`));
    });
}

async function main(wanted: Wanted): Promise<void> {
  const stopping = new AbortController();
  stopOnSignal(stopping);
  const machine = await describeMachine();
  await using results = await openResults(
    machine,
    wanted.suites.map(({name}) => name),
    wanted.json,
  );
  for (const suite of wanted.suites) {
    const {tables, goals, notes = []} = await runSuite(suite, wanted, results, stopping.signal);
    const said = notes.map((note) => `${note}\n`).join('');
    process.stdout.write(`\n${tables.map(renderTable).join('\n')}\n${goals.length === 0 ? '' : renderGoals(goals)}\n${said}`);
  }
  process.stdout.write(`${renderMachine(machine)}Samples: ${results.path}\n`);
}

try {
  const wanted = readArguments();
  if (wanted === 'help') process.stdout.write(usage());
  else
    await main(wanted).catch((error: unknown) => {
      process.stderr.write(`bench: ${allMessages(error)}\n`);
      process.exitCode = exitStatus.failed;
    });
} catch (error) {
  process.stderr.write(`bench: ${errorMessage(error)}\n\n${usage()}`);
  process.exitCode = exitStatus.usage;
}
