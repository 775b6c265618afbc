/** A gateway with an encryption key: nothing of an app's memory can be read in what it stores, and a wrong key harms nothing. */
import {createHash, randomBytes} from 'node:crypto';
import type {Dirent} from 'node:fs';
import {readdir, readFile, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import type {ExecutionContext} from 'ava';
import {errorCode} from '../../src/core/errors.ts';
import {freePort, type TestGateway, testGateway} from '../helpers/gateway.ts';
import {pagerPid} from '../helpers/gateway-processes.ts';
import {ask} from '../helpers/line-client.ts';
import {serialRootTest as rootTest} from '../helpers/root-test.ts';
import {rootfsWith} from '../helpers/rootfs.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';

const fixtures = fileURLToPath(new URL('../fixtures', import.meta.url));

/** What test/fixtures/secret-server.py keeps. */
function secretOf(word: string): Buffer {
  return Buffer.concat(Array.from({length: 16_384}, (_, number) => createHash('blake2b512').update(`${word} ${number}`).digest()));
}

async function secretGateway(t: ExecutionContext, globals: string): Promise<{gateway: TestGateway; port: number}> {
  const port = await freePort();
  const rootfs = await rootfsWith('python3');
  const gateway = await testGateway(
    t,
    `app secret
    rootfs ${rootfs}
    exec /usr/bin/python3 /srv/secret-server.py 80
    volume ${fixtures}:/srv:ro
    expose tcp 80
    hibernate-after never
listen l
    bind 127.0.0.1:${port}
    server s app:secret:80`,
    {globals},
  );
  return {gateway, port};
}

/** A directory that is removed while it is read ends the reading: then it begins anew. */
async function everythingIn(directory: string): Promise<readonly Dirent[]> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await readdir(directory, {recursive: true, withFileTypes: true});
    } catch (error) {
      if (errorCode(error) !== 'ENOENT' || attempt === 10) throw error;
    }
  }
}

/** Files of the state directory that have any of the secret. */
async function filesWith(gateway: TestGateway, secret: Buffer): Promise<readonly string[]> {
  const parts = Array.from({length: 16}, (_, number) => secret.subarray(number * 65_536 + 100, number * 65_536 + 132));
  const found: string[] = [];
  for (const entry of await everythingIn(gateway.stateDir)) {
    const path = join(entry.parentPath, entry.name);
    if (!entry.isFile() || path.startsWith(join(gateway.stateDir, 'run'))) continue;
    const content = await readFile(path).catch(() => Buffer.alloc(0)); // Old generations are removed meanwhile.
    if (parts.some((part) => content.includes(part))) found.push(path);
  }
  return found;
}

async function storedFiles(gateway: TestGateway): Promise<readonly string[]> {
  return (await readdir(join(gateway.stateDir, 'store'), {recursive: true})).sort();
}

rootTest('with a key, the memory of an app is nowhere in the state directory; a wrong key is refused and harms nothing', async (t) => {
  t.timeout(180_000);
  await using directory = await temporaryDirectory();
  const keyFile = join(directory.path, 'key');
  const key = randomBytes(32).toString('hex');
  await writeFile(keyFile, key, {mode: 0o600});
  const {gateway, port} = await secretGateway(t, `    encryption-key file:${keyFile}`);
  await gateway.start();
  t.true((await storedFiles(gateway)).includes('apps/secret/key'), 'made before it is needed');
  const word = randomBytes(8).toString('hex');
  const secret = secretOf(word);
  const digest = createHash('sha256').update(secret).digest('hex');
  t.is(await ask(port, `keep ${word}`), digest);
  for (let sleep = 0; sleep < 3; sleep++) {
    await gateway.hibernate('secret');
    t.deepEqual(await filesWith(gateway, secret), []);
    t.is(await ask(port, 'tell'), digest);
  }
  for (const pid of [gateway.pid, await pagerPid(gateway.stateDir)]) {
    for (const file of ['cmdline', 'environ']) t.false((await readFile(`/proc/${pid}/${file}`)).includes(key));
  }
  process.kill(await pagerPid(gateway.stateDir), 'SIGKILL');
  t.is(await ask(port, 'tell'), digest, 'another pager has the key, too');
  await gateway.hibernate('secret');
  await gateway.stop();

  const stored = await storedFiles(gateway);
  const other = randomBytes(32).toString('hex');
  for (const wrong of [other, 'no key']) {
    await writeFile(keyFile, wrong);
    const error = await t.throwsAsync(gateway.start());
    t.regex(
      error.message,
      wrong === other ? /Cannot read object .*apps\/secret\/key.*encryption key [0-9a-f]{16} does not open it/ : /Cannot use the encryption key in file/,
    );
    await gateway.stop();
    t.deepEqual(await storedFiles(gateway), stored);
  }

  // A new key first, and the old one after it.
  await writeFile(join(directory.path, 'old'), key, {mode: 0o600});
  await writeFile(keyFile, other);
  const config = await readFile(gateway.configFile, 'utf8');
  await writeFile(gateway.configFile, config.replace(`file:${keyFile}`, `file:${keyFile}\n    encryption-key file:${join(directory.path, 'old')}`));
  await gateway.start();
  t.is(await ask(port, 'tell'), digest);
});

rootTest('without a key, the memory of an app is in the store', async (t) => {
  t.timeout(60_000);
  const {gateway, port} = await secretGateway(t, '');
  await gateway.start();
  await ask(port, 'keep plain');
  await gateway.hibernate('secret');
  t.true((await filesWith(gateway, secretOf('plain'))).some((path) => path.includes('/segments/')));
});
