/**
 * `npm run bench -- [SUITE...] [--rounds N] [--full] [--json FILE]`: runs suites one after the other, writes a JSON line per
 * sample, and prints tables at the end. Needs root and a machine that does little else.
 */
import {parseArgs} from 'node:util';
import {errorMessage} from '../src/core/errors.ts';
import {describeMachine, type Machine} from './machine.ts';
import {openResults, type Results} from './results.ts';
import type {Goal, Report, Suite} from './suite.ts';
import {renderTable} from './table.ts';
import {wakeSuite} from './wake/wake-suite.ts';

const suites: readonly Suite[] = [wakeSuite];

const exitStatus = {failed: 1, usage: 2} as const;

function usage(): string {
  const names = suites.map(({name, summary}) => `  ${name.padEnd(8)} ${summary}\n`).join('');
  return `Usage: npm run bench -- [SUITE...] [--rounds N] [--full] [--json FILE]\n\nSuites (default: all)\n${names}
  --rounds N   measure each case so often
  --full       more cases
  --json FILE  append the samples to FILE (default: a new file below bench/results)\n`;
}

interface Wanted {
  readonly suites: readonly Suite[];
  readonly rounds: number | null;
  readonly full: boolean;
  readonly json: string | undefined;
}

/** @throws Error about the command line */
function readArguments(): Wanted | 'help' {
  const {values, positionals} = parseArgs({
    allowPositionals: true,
    options: {rounds: {type: 'string'}, json: {type: 'string'}, full: {type: 'boolean', default: false}, help: {type: 'boolean', short: 'h', default: false}},
  });
  if (values.help) return 'help';
  const rounds = values.rounds === undefined ? null : Number(values.rounds);
  if (rounds !== null && !(Number.isInteger(rounds) && rounds > 0)) throw new Error(`--rounds takes a number above 0, not "${values.rounds}"`);
  const named = positionals.map((name) => {
    const suite = suites.find((candidate) => candidate.name === name);
    if (suite === undefined) throw new Error(`no suite "${name}"`);
    return suite;
  });
  return {suites: named.length === 0 ? suites : named, rounds, full: values.full, json: values.json};
}

async function runSuite(suite: Suite, wanted: Wanted, results: Results, signal: AbortSignal): Promise<Report> {
  return suite.run({
    rounds: wanted.rounds ?? suite.defaultRounds,
    full: wanted.full,
    signal,
    record: (sample) => results.add(suite.name, sample),
    progress: (text) => process.stderr.write(`${suite.name}: ${text}\n`),
  });
}

function renderGoals(goals: readonly Goal[]): string {
  const rows = goals.map(({what, goal, found, met}) => [what, goal, found, met ? 'yes' : 'no']);
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

async function main(wanted: Wanted): Promise<void> {
  const stopping = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stopping.abort(new Error(`stopped by ${signal}`)));
  const machine = await describeMachine();
  await using results = await openResults(
    machine,
    wanted.suites.map(({name}) => name),
    wanted.json,
  );
  for (const suite of wanted.suites) {
    const {tables, goals} = await runSuite(suite, wanted, results, stopping.signal);
    process.stdout.write(`\n${tables.map(renderTable).join('\n')}\n${goals.length === 0 ? '' : renderGoals(goals)}\n`);
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
