import {fileURLToPath} from 'node:url';
import {stripVTControlCharacters} from 'node:util';
import test from 'ava';
import type {Check} from '../../src/cli/doctor/finding.ts';
import {programChecks} from '../../src/cli/doctor/program-checks.ts';
import {examine, render} from '../../src/cli/doctor.ts';
import {CommandError, run} from '../../src/core/command.ts';
import {rootTest} from '../helpers/root-test.ts';

const program = fileURLToPath(new URL('../../bin/picogate', import.meta.url));
const check: Check = {name: 'thing', needed: true, cost: 'nothing works', asRoot: false, probe: async () => ({found: 'here'})};
const fails = async (): Promise<never> => Promise.reject(new Error('not found'));

test('examine() reports what was found, a drawback, and what a missing thing costs', async (t) => {
  t.deepEqual(await examine(check), {name: 'thing', status: 'ok', found: 'here', cost: null});
  t.deepEqual(await examine({...check, probe: async () => ({found: 'here', drawback: 'slow'})}), {
    name: 'thing',
    status: 'warning',
    found: 'here',
    cost: 'slow',
  });
  t.deepEqual(await examine({...check, probe: fails}), {name: 'thing', status: 'missing', found: 'not found', cost: 'nothing works'});
  t.deepEqual(await examine({...check, needed: false, probe: fails}), {name: 'thing', status: 'warning', found: 'not found', cost: 'nothing works'});
});

test('render() puts what a thing costs under it and counts', async (t) => {
  const text = stripVTControlCharacters(render([await examine(check), await examine({...check, probe: fails})]));
  t.is(text, 'ok       thing  here\nmissing  thing  not found\n                -> nothing works\n1 missing, 0 warnings, 1 ok\n');
});

test('programChecks() names a CRIU that is not there', async (t) => {
  const [criu] = programChecks('/nonexistent/criu');
  if (criu === undefined) return t.fail('no checks');
  const finding = await examine(criu);
  t.is(finding.status, 'missing');
  t.regex(finding.found, /"\/nonexistent\/criu", which the configuration names/);
});

rootTest('picogate doctor --json finds this machine fit', async (t) => {
  const findings: unknown = JSON.parse((await run([program, 'doctor', '--json'], {timeoutMs: 60_000})).stdout);
  t.true(Array.isArray(findings) && findings.length > 20);
});

rootTest('picogate doctor exits 1 when CRIU is missing, and says what it costs', async (t) => {
  const env = {...process.env, PICOGATE_CRIU: '/nonexistent/criu'};
  const error = await t.throwsAsync(run(['sh', '-c', '"$1" doctor >&2', 'sh', program], {timeoutMs: 60_000, env}), {instanceOf: CommandError});
  t.is(error.exitCode, 1);
  t.regex(error.stderr, /missing\s+CRIU .*\n\s+-> no app can be put to sleep/);
});
