import {writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import test from 'ava';
import {mount, umount} from '../../src/core/libc.ts';
import {criuFailure, criuReason, readCriuFailure} from '../../src/supervisor/criu-log.ts';
import {rootTest} from '../helpers/root-test.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';

const harmless = "(00.000010) Error (criu/util.c:1534): rlimit: Can't setup RLIMIT_NOFILE for self: Operation not permitted";

test('errors come first, without their times and without what CRIU says of itself', (t) => {
  const log = [harmless, '(00.1) something', '(00.2) 12: Error (criu/x.c:1): text', '(00.3) the end'].join('\n');
  t.is(criuFailure(log).excerpt, '12: Error (criu/x.c:1): text; something; the end');
  t.deepEqual(
    [criuReason(`${harmless}\n`), criuReason(' '), criuReason(undefined), criuReason('no such process\n')],
    [undefined, undefined, undefined, 'no such process'],
  );
});

test('causes that are known are explained, and one that stays as it is is called that', (t) => {
  const refused = criuFailure("Error (criu/cr-dump.c:1): Can't get rlimit 3: Operation not permitted");
  t.regex(refused.explanation ?? '', /lacks CAP_SYS_RESOURCE/);
  t.true(refused.isLasting);
  t.like(criuFailure('Error (criu/image.c:1): No space left on device'), {explanation: 'the disk is full', isLasting: false});
  t.like(criuFailure('Error (criu/sk-inet.c:1): In-flight connection (l) for 1'), {explanation: undefined, connecting: true, isLasting: false});
});

rootTest('a disk without room even for the log is full', async (t) => {
  await using directory = await temporaryDirectory();
  const file = join(directory.path, 'dump.log');
  t.is((await readCriuFailure(file)).explanation, undefined);
  mount({source: 'picogate', target: directory.path, type: 'tmpfs', flags: 0, data: 'size=256k'});
  try {
    await t.throwsAsync(writeFile(join(directory.path, 'filler'), Buffer.alloc(1024 * 1024)), {code: 'ENOSPC'});
    t.like(await readCriuFailure(file), {excerpt: '', explanation: 'the disk is full'});
  } finally {
    umount(directory.path, {detach: true});
  }
});
