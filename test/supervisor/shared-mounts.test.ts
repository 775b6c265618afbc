import {fileURLToPath} from 'node:url';
import {run} from '../../src/core/command.ts';
import {rootTest} from '../helpers/root-test.ts';

const ava = fileURLToPath(new URL('../../node_modules/.bin/ava', import.meta.url));

rootTest('where the host shares its mounts, as systemd has it, nothing is left of a restore either', async (t) => {
  const tests = fileURLToPath(new URL('roots-yard.test.ts', import.meta.url));
  const {stdout} = await run(['unshare', '--mount', '--propagation', 'shared', process.execPath, ava, '--timeout', '60s', tests], {timeoutMs: 80_000});
  t.regex(stdout, /tests passed/);
});
