/**
 * Runs ava, with this program's arguments or over all tests, passes its output on, and closes with one line that programs can read:
 * `N passed, N failed, N skipped`. The exit status is 1 when anything failed.
 *
 * The tests of a file run one after the other, for which ava knows only a setting that runs the files one after the other too. So all tests are several
 * runs of a few files each, some of them at once. What a run printed is shown when it has ended; that of failed ones last. A file in which a test has failed
 * beside others, on a machine that is busy with them, is run once more alone, and what it says then counts: both are shown.
 *
 * `PICOGATE_TEST_MINUTES=N` begins no further run after so many minutes. The files that are left are named, and each counts as one that is skipped.
 */
import {globSync} from 'node:fs';
import {basename} from 'node:path';
import {text} from 'node:stream/consumers';
import {fileURLToPath} from 'node:url';
import {startDaemon} from '../src/core/command.ts';

export interface TestCounts {
  passed: number;
  failed: number;
  skipped: number;
}

/** Of a line of ava's summary, for example `  2 tests skipped`; which count it belongs to. Null for any other line. */
export function parseSummaryLine(line: string): {readonly outcome: keyof TestCounts; readonly count: number} | null {
  const match =
    /^\s*(\d+) (?:tests?|hooks?) (passed|failed|skipped|todo|remaining)\b/.exec(line) ?? /^\s*(\d+) (uncaught exception|unhandled rejection)s?$/.exec(line);
  const count = Number(match?.[1]);
  switch (match?.[2]) {
    case undefined:
      return null;
    case 'passed':
    case 'skipped':
      return {outcome: match[2], count};
    case 'todo':
      return {outcome: 'skipped', count};
    default:
      return {outcome: 'failed', count};
  }
}

// Named in full: under the Node that runs this file, not under the one that comes first on PATH.
const avaPath = fileURLToPath(new URL('../node_modules/.bin/ava', import.meta.url));

// Every test file is a process of its own; half of its processor time went into compiling the same modules again.
const compileCache = fileURLToPath(new URL('../node_modules/.cache/compiled', import.meta.url));
/** Tests remove what they have made. */
const stopTimeoutMs = 60_000;

const repository = fileURLToPath(new URL('..', import.meta.url));
/** Those that start gateways take up to some minutes each. */
const filesPerRun = {quick: 6, slow: 2} as const;
/** Tests wait more than they work: two at once leave a processor idle. */
const runsAtOnce = 3;

/** Of the slow ones, those that ask whether a tenant's state survives. */
const stateTests = [
  'fault-matrix',
  'fault-points',
  'history',
  'killed-parts',
  'crash',
  'restore-failure',
  'damage',
  'store-outage',
  'empty-worker',
  'workers',
].map((name) => `test/e2e/${name}.test.ts`);

/**
 * The quick files first, so that most are done whenever time is up; then those that must not be left out; the others last.
 * @param files in order of their names. @param turn with which of the others to begin: what one day leaves out, another one does not
 */
export function allRuns(files: readonly string[], turn = 0): readonly (readonly string[])[] {
  const isSlow = (file: string): boolean => file.startsWith('test/e2e/');
  const runsOf = (some: readonly string[], perRun: number): (readonly string[])[] =>
    Array.from({length: Math.ceil(some.length / perRun)}, (_, at) => some.slice(at * perRun).slice(0, perRun));
  const quick = files.filter((file) => !isSlow(file));
  const others = files.filter((file) => isSlow(file) && !stateTests.includes(file));
  const first = turn % Math.max(1, others.length);
  const slow = [...stateTests.filter((file) => files.includes(file)), ...others.slice(first), ...others.slice(0, first)];
  return [...runsOf(quick, filesPerRun.quick), ...runsOf(slow, filesPerRun.slow)];
}

/** Where a run that may not be able to do all begins: elsewhere each day, by about what it does. Without a limit, always at the first. */
export function turnOf(minutes: string | undefined, now: Date): number {
  const filesPerDay = 37;
  return minutes === undefined ? 0 : Math.floor(now.getTime() / 86_400_000) * filesPerDay;
}

/** Until when runs are begun (performance.now()); for ever without a limit. @throws RangeError */
export function deadlineOf(minutes: string | undefined): number {
  if (minutes === undefined) return Number.POSITIVE_INFINITY;
  if (!/^\d+(\.\d+)?$/.test(minutes)) throw new RangeError(`PICOGATE_TEST_MINUTES takes a number, not "${minutes}"`);
  return Number(minutes) * 60_000;
}

interface Run {
  readonly output: string;
  readonly counts: TestCounts;
}

async function runAva(args: readonly string[], signal: AbortSignal): Promise<Run> {
  await using daemon = await startDaemon([process.execPath, avaPath, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {...process.env, NODE_COMPILE_CACHE: compileCache},
    stopTimeoutMs,
  });
  const stop = (): void => void daemon.child.kill('SIGTERM');
  signal.addEventListener('abort', stop, {once: true});
  const output = daemon.child.stdout === null ? '' : await text(daemon.child.stdout);
  const {exitCode} = await daemon.exited;
  signal.removeEventListener('abort', stop);
  return {output, counts: countsOf(output, exitCode)};
}

function countsOf(output: string, exitCode: number | null): TestCounts {
  const counts: TestCounts = {passed: 0, failed: 0, skipped: 0};
  // The summary follows the last rule; what looks like it before that is something a test printed.
  const lines = output.split('\n');
  const summary = lines.slice(lines.findLastIndex((line) => line.trim() === '─') + 1);
  for (const found of summary.map(parseSummaryLine)) if (found !== null) counts[found.outcome] += found.count;
  // A file that did not finish, or that ava could not load, has no count of its own.
  if (exitCode !== 0 && counts.failed === 0) counts.failed = 1;
  return counts;
}

async function main(args: readonly string[]): Promise<number> {
  const stopping = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => stopping.abort());
  const minutes = process.env['PICOGATE_TEST_MINUTES'];
  const batches = args.length > 0 ? [args] : allRuns(globSync('test/**/*.test.ts', {cwd: repository}).sort(), turnOf(minutes, new Date()));
  const deadlineMs = deadlineOf(minutes);
  const total: TestCounts = {passed: 0, failed: 0, skipped: 0};
  const add = (counts: TestCounts): void => {
    for (const outcome of ['passed', 'failed', 'skipped'] as const) total[outcome] += counts[outcome];
  };
  const failed: (Run & {readonly batch: readonly string[]})[] = [];
  const late: string[] = [];
  const rest = batches.values();
  const work = async (): Promise<void> => {
    for (const batch of rest) {
      if (stopping.signal.aborted) return;
      if (performance.now() > deadlineMs) {
        late.push(...batch);
        continue;
      }
      const run = await runAva(batch, stopping.signal);
      if (run.counts.failed > 0) failed.push({...run, batch});
      else {
        process.stdout.write(run.output);
        add(run.counts);
      }
    }
  };
  await Promise.all(Array.from({length: runsAtOnce}, work));
  for (const {batch, output, counts} of failed) {
    process.stdout.write(output);
    const files = args.length > 0 || stopping.signal.aborted ? [] : failedFiles(output, batch);
    if (files.length === 0) add(counts);
    else {
      process.stdout.write(`\nfailed beside others, and run again alone: ${files.join(' ')}\n`);
      const again = await runAva(files, stopping.signal);
      process.stdout.write(again.output);
      add(again.counts);
    }
  }
  if (late.length > 0) {
    process.stdout.write(`\nnot begun within ${minutes} minutes, and skipped: ${late.join(' ')}\n`);
    add({passed: 0, failed: 0, skipped: late.length});
  }
  if (stopping.signal.aborted) process.stdout.write('\nstopped by a signal\n');
  process.stdout.write(`\n${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped\n`);
  return total.failed > 0 || stopping.signal.aborted ? 1 : 0;
}

/** Files of a run in which a test has failed; all of them where ava does not say which. */
export function failedFiles(output: string, files: readonly string[]): readonly string[] {
  const lines = output.split('\n').filter((line) => line.includes('✘'));
  const found = files.filter((file) => lines.some((line) => line.includes(` ${basename(file, '.test.ts')} ›`)));
  return found.length > 0 ? found : files;
}

if (import.meta.main) process.exitCode = await main(process.argv.slice(2));
