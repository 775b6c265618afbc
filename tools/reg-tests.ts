/**
 * Runs HAProxy's own regression tests (`reg-tests` of its sources) with `bin/picogate` in the place of HAProxy, and prints what became of each, with the first
 * thing that went wrong, and the numbers. Only those count that the installed HAProxy passes here. Nothing of HAProxy is part of this project.
 *
 *     git clone --depth 1 --branch v2.6.0 https://github.com/haproxy/haproxy /tmp/haproxy
 *     node tools/reg-tests.ts /tmp/haproxy/reg-tests [PART OF A NAME]...
 *
 * The outcomes: `passes`; `refused`, the configuration has a keyword that is not supported; `differs`; `not counted`, HAProxy does not pass it either.
 * It needs varnishtest (`apt install varnish`) and `haproxy`, without which it says so and does nothing. It takes about a quarter of an hour.
 */
import {globSync} from 'node:fs';
import {mkdtemp, rm} from 'node:fs/promises';
import {join, resolve} from 'node:path';
import {text} from 'node:stream/consumers';
import {fileURLToPath} from 'node:url';
import {CommandError, run, startDaemon} from '../src/core/command.ts';

export type Outcome = 'passes' | 'refused' | 'differs' | 'not counted';

interface Result {
  readonly outcome: Outcome;
  /** The first thing that went wrong; `''` when nothing did. */
  readonly reason: string;
}

const program = fileURLToPath(new URL('../bin/picogate', import.meta.url));
const reference = '/usr/sbin/haproxy';
/** What a test itself may wait for; it is killed some time after that. */
const testSeconds = 20;
/** As HAProxy's own script does: the largest messages need it. */
const bufferBytes = 2 ** 21;
/** The exit status of a test that lacks something. */
const skipped = 77;

/** @param log what varnishtest printed of a test that failed */
export function reasonOf(log: string): Result {
  const alert = /debug\|\[ALERT\] +\(\d+\) : (?:config : parsing \[[^\]]*?(:\d+)(?::\d+)?\] *: *)?(.*)/.exec(log);
  if (alert !== null) return {outcome: 'refused', reason: [alert[1], alert[2]].filter((part) => part !== undefined).join(' ')};
  const failed = /^---- +(.*)/m.exec(log)?.[1] ?? 'it took too long';
  return {outcome: 'differs', reason: failed};
}

interface Run {
  readonly exitCode: number | null;
  readonly log: string;
}

async function runTest(test: string, haproxy: string, directory: string): Promise<Run> {
  const env = {...process.env, HAPROXY_PROGRAM: haproxy, HAPROXY_ARGS: '-dM', TMPDIR: await mkdtemp(join(directory, 'test-'))};
  const argv = ['varnishtest', '-b', String(bufferBytes), '-k', '-t', String(testSeconds), '-L', '-v', test] as const;
  await using daemon = await startDaemon(argv, {stdio: ['ignore', 'pipe', 'ignore'], env, stopSignal: 'SIGKILL'});
  const {stdout} = daemon.child;
  const timer = setTimeout(() => void daemon[Symbol.asyncDispose](), testSeconds * 3000);
  try {
    const [log, {exitCode}] = await Promise.all([stdout === null ? '' : text(stdout), daemon.exited]);
    return {exitCode, log};
  } finally {
    clearTimeout(timer);
  }
}

async function resultOf(test: string, directory: string): Promise<Result> {
  if ((await runTest(test, reference, directory)).exitCode !== 0) return {outcome: 'not counted', reason: ''};
  const {exitCode, log} = await runTest(test, program, directory);
  if (exitCode === 0) return {outcome: 'passes', reason: ''};
  return exitCode === skipped ? {outcome: 'refused', reason: 'the test asks for a feature that is missing'} : reasonOf(log);
}

async function isMissing(argv: readonly [string, ...string[]]): Promise<boolean> {
  return run(argv, {timeoutMs: 10_000}).then(
    () => false,
    (error: unknown) => error instanceof CommandError && error.code === 'ERR_COMMAND_MISSING',
  );
}

async function main([root, ...parts]: readonly string[]): Promise<number> {
  if (root === undefined) {
    console.error('usage: node tools/reg-tests.ts DIRECTORY [PART OF A NAME]...');
    return 64;
  }
  if ((await isMissing(['varnishtest', '-h'])) || (await isMissing([reference, '-v']))) {
    console.log('skipped: varnishtest or HAProxy is missing (apt install varnish haproxy)');
    return 0;
  }
  const tests = globSync('**/*.vtc', {cwd: root}).filter((name) => parts.length === 0 || parts.some((part) => name.includes(part)));
  const directory = await mkdtemp('/tmp/picogate-reg-tests-');
  const counts: Record<Outcome, number> = {passes: 0, refused: 0, differs: 0, 'not counted': 0};
  try {
    for (const test of tests.toSorted()) {
      const {outcome, reason} = await resultOf(resolve(root, test), directory);
      counts[outcome]++;
      console.log(`${outcome.padEnd(12)} ${test}${reason === '' ? '' : `: ${reason}`}`);
    }
  } finally {
    await rm(directory, {recursive: true, force: true});
  }
  console.log(
    `${counts.passes} of ${tests.length - counts['not counted']} that HAProxy passes; ${counts.refused} refused, ${counts.differs} differ, ${counts['not counted']} not counted`,
  );
  return 0;
}

if (import.meta.main) process.exitCode = await main(process.argv.slice(2));
