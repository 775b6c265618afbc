/**
 * Runs ava with this program's arguments, passes its output on, and closes with one line that programs can read:
 * `N passed, N failed, N skipped`. The exit status is ava's.
 */
import {createInterface} from 'node:readline';
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

async function main(ava: readonly string[]): Promise<number> {
  const counts: TestCounts = {passed: 0, failed: 0, skipped: 0};
  await using daemon = await startDaemon([process.execPath, avaPath, ...ava], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {...process.env, NODE_COMPILE_CACHE: compileCache},
  });
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => daemon.child.kill(signal));
  if (daemon.child.stdout !== null) {
    for await (const line of createInterface({input: daemon.child.stdout})) {
      process.stdout.write(`${line}\n`);
      // The summary follows the last rule; what looks like it before that is something a test printed.
      if (line.trim() === '─') Object.assign(counts, {passed: 0, failed: 0, skipped: 0});
      const found = parseSummaryLine(line);
      if (found !== null) counts[found.outcome] += found.count;
    }
  }
  const {exitCode} = await daemon.exited;
  // A file that did not finish, or that ava could not load, has no count of its own.
  if (exitCode !== 0 && counts.failed === 0) counts.failed = 1;
  process.stdout.write(`\n${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped\n`);
  return exitCode ?? 1;
}

if (import.meta.main) process.exitCode = await main(process.argv.slice(2));
