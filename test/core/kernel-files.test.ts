import {readFileSync} from 'node:fs';
import test from 'ava';
import {readKernelFile, readKernelTable} from '../../src/core/kernel-files.ts';

test('a file whose size is not known is read to its end, in whatever pieces the kernel gives it', async (t) => {
  const symbols = '/proc/kallsyms';
  const whole = readFileSync(symbols, 'latin1');
  t.true(whole.length > 100_000);
  t.is(await readKernelTable(symbols), whole);
  t.is(readKernelFile(symbols), whole);
});

test('one that is not there, or of a process that has ended, is told by its code', async (t) => {
  const gone = '/proc/4194305/stat';
  t.is(t.throws<NodeJS.ErrnoException>(() => readKernelFile(gone)).code, 'ENOENT');
  t.is((await t.throwsAsync<NodeJS.ErrnoException>(readKernelTable(gone))).code, 'ENOENT');
});
