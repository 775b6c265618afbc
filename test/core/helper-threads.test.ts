import {readFileSync} from 'node:fs';
import {getPriority} from 'node:os';
import test from 'ava';
import {run} from '../../src/core/command.ts';

const module = new URL('../../src/core/helper-threads.ts', import.meta.url).href;
const script = `
import {readdirSync, readFileSync} from 'node:fs';
import {getPriority} from 'node:os';
import {lowerHelperThreads} from ${JSON.stringify(module)};
lowerHelperThreads();
const threads = readdirSync('/proc/self/task').map((thread) => [readFileSync('/proc/self/task/' + thread + '/comm', 'latin1').trim(), getPriority(Number(thread))]);
console.log(JSON.stringify(threads));
`;

test("V8's helper threads come after all others, and only they", async (t) => {
  const ours = getPriority();
  const {stdout} = await run([process.execPath, '--disable-warning=ExperimentalWarning', '--input-type=module', '-e', script], {timeoutMs: 20_000});
  const threads = JSON.parse(stdout) as [string, number][];
  const helpers = threads.filter(([name]) => name === 'V8Worker');
  t.true(helpers.length > 0, readFileSync('/proc/version', 'latin1'));
  for (const [name, priority] of threads) t.is(priority, name === 'V8Worker' ? Math.max(ours, 10) : ours, name);
});
