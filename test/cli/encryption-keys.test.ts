import {randomBytes} from 'node:crypto';
import {chmod, chown, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import test from 'ava';
import {readEncryptionKeys} from '../../src/cli/encryption-keys.ts';
import {rootTest} from '../helpers/root-test.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';

const key = randomBytes(32);

test('keys are read in their order, in every form, and a variable does not stay in the environment', async (t) => {
  await using directory = await temporaryDirectory();
  const forms = [key, key.toString('hex'), `${key.toString('base64')}\n`];
  const paths = forms.map((_, number) => join(directory.path, `key${number}`));
  for (const [number, form] of forms.entries()) await writeFile(paths[number] ?? '', form, {mode: 0o600});
  const other = randomBytes(32);
  process.env['PICOGATE_TEST_KEY'] = other.toString('hex');
  const keys = await readEncryptionKeys([...paths.map((path) => ({kind: 'file', path}) as const), {kind: 'env', name: 'PICOGATE_TEST_KEY'}]);
  t.deepEqual(
    keys.map((found) => Buffer.from(found)),
    [key, key, key, other],
  );
  t.false('PICOGATE_TEST_KEY' in process.env);
  t.deepEqual(await readEncryptionKeys([]), []);
});

test('what is wrong with a key is said, with what to do, and without the key', async (t) => {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, 'key');
  const refused = async (expected: RegExp): Promise<void> => {
    const error = await t.throwsAsync(readEncryptionKeys([{kind: 'file', path}]), {code: 'ERR_ENCRYPTION_KEY'});
    t.regex(error.message, /^Cannot use the encryption key in file "/);
    t.regex(error.message, expected);
    t.false(error.message.includes(key.toString('hex')));
  };
  await refused(/there is no such file; "\(umask 077; head -c 32 .*" makes one/);
  await writeFile(path, `${key.toString('hex')}0`, {mode: 0o600});
  await refused(/: 65 characters instead of 64 hexadecimal digits/);
  await writeFile(path, '');
  await refused(/: 0 characters instead of/);
  await writeFile(path, Buffer.alloc(10_000));
  await refused(/: 10000 bytes instead of/);
  await writeFile(path, key);
  for (const mode of [0o640, 0o604, 0o620, 0o666]) {
    await chmod(path, mode);
    await refused(/others than its owner may use the file \(mode 06\d\d\); "chmod 600 .*\/key" changes that$/);
  }
  const unset = await t.throwsAsync(readEncryptionKeys([{kind: 'env', name: 'PICOGATE_NO_SUCH_KEY'}]), {code: 'ERR_ENCRYPTION_KEY'});
  t.is(unset.message, 'Cannot use the encryption key in the environment variable PICOGATE_NO_SUCH_KEY: it is not set');
});

rootTest('a key of another user is refused', async (t) => {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, 'key');
  await writeFile(path, key, {mode: 0o600});
  await chown(path, 12_345, 12_345);
  const error = await t.throwsAsync(readEncryptionKeys([{kind: 'file', path}]), {code: 'ERR_ENCRYPTION_KEY'});
  t.regex(error.message, /belongs to user 12345; "chown root .*\/key" changes that$/);
});
