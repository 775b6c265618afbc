import {existsSync} from 'node:fs';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import test from 'ava';
import {startDaemon} from '../../src/core/command.ts';
import {armedBy, faultPoints} from '../../src/core/fault-point.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';

const module = fileURLToPath(new URL('../../src/core/fault-point.ts', import.meta.url));
const point = 'pager:events:read';

/** How a process ends that passes the point three times, and how often it did. */
async function passed(environment: Readonly<Record<string, string>>): Promise<{signal: string | null; passings: number}> {
  const program = `import {faultPoint} from '${module}'; for (let n = 0; n < 3; n++) { faultPoint('${point}'); console.error('passed'); }`;
  await using child = await startDaemon([process.execPath, '--input-type=module', '-e', program], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: {PATH: process.env['PATH'], ...environment},
  });
  const {signal, stderr} = await child.exited;
  return {signal, passings: stderr.match(/passed/g)?.length ?? 0};
}

test('faultPoint() does nothing unless the environment names it', async (t) => {
  t.deepEqual(await passed({}), {signal: null, passings: 3});
  t.deepEqual(await passed({PICOGATE_FAULT_POINT: 'pager:commit:before-answer'}), {signal: null, passings: 3});
});

test('faultPoint() kills its process at the passing that was asked for, once for all processes', async (t) => {
  await using directory = await temporaryDirectory();
  const once = join(directory.path, 'killed');
  t.deepEqual(await passed({PICOGATE_FAULT_POINT: point}), {signal: 'SIGKILL', passings: 0});
  t.deepEqual(await passed({PICOGATE_FAULT_POINT: `${point}@3`, PICOGATE_FAULT_POINT_ONCE: once}), {signal: 'SIGKILL', passings: 2});
  t.true(existsSync(once));
  t.deepEqual(await passed({PICOGATE_FAULT_POINT: `${point}@3`, PICOGATE_FAULT_POINT_ONCE: once}), {signal: null, passings: 3});
});

test('a point that does not exist is refused', (t) => {
  t.is(armedBy({}), undefined);
  for (const name of Object.keys(faultPoints)) t.like(armedBy({PICOGATE_FAULT_POINT: name}), {point: name, passingsLeft: 1});
  t.like(armedBy({PICOGATE_FAULT_POINT: point}), {signal: 'SIGKILL'});
  t.like(armedBy({PICOGATE_FAULT_POINT: point, PICOGATE_FAULT_ACTION: 'stop'}), {signal: 'SIGSTOP'});
  for (const wanted of ['pager:commit', `${point}@0`, `${point}@x`]) t.throws(() => armedBy({PICOGATE_FAULT_POINT: wanted}), {code: 'ERR_FAULT_POINT'});
});
