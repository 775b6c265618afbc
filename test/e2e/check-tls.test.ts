/** `-c`, a start and a reload look into the files that TLS needs. */
import {writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import test from 'ava';
import {makeTestCertificate} from '../edge/tls/certificates.ts';
import {defaults, dropInProgram} from '../helpers/drop-in-program.ts';
import {freePort} from '../helpers/gateway.ts';
import {runProgram} from '../helpers/run-program.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';

test('certificates and lists of them are checked before anything listens', async (t) => {
  await using directory = await temporaryDirectory();
  const file = async (name: string, text: string): Promise<string> => {
    await writeFile(join(directory.path, name), text);
    return join(directory.path, name);
  };
  const {pemFile} = await makeTestCertificate(directory.path, {file: 'good.pem', names: ['a.test']});
  await file('broken.pem', 'no certificate\n');
  const port = await freePort();
  const sections = (certificates: string): string =>
    `listen l\n  bind 127.0.0.1:${port} ssl ${certificates}\n  server s 127.0.0.1:1 ssl verify none crt ${pemFile}\n`;
  const check = async (certificates: string) => runProgram(['-c', '-f', await file('picogate.cfg', `${defaults}${sections(certificates)}`)]);

  const list = await file('sites.list', 'good.pem [alpn h2] a.test\n# comment\n');
  t.deepEqual(await check(`crt-list ${list}`), {exitCode: 0, stdout: 'Configuration file is valid\n', stderr: ''});

  await file('sites.list', 'good.pem\ngood.pem [colour blue] a.test\ngood.pem [npn h2]\n');
  const badList = await check(`crt-list ${list}`);
  t.is(badList.exitCode, 1);
  t.regex(badList.stderr, /\[ALERT\].*sites\.list:2:1\] : unknown ssl keyword colour/);
  t.regex(badList.stderr, /\[WARNING\].*sites\.list:3:1\] : 'npn' has no effect/);

  await file('sites.list', 'good.pem\nbroken.pem b.test\n');
  for (const certificates of [`crt-list ${list}`, `crt ${join(directory.path, 'broken.pem')}`]) {
    const broken = await check(certificates);
    t.is(broken.exitCode, 1, certificates);
    t.regex(broken.stderr, /\[ALERT\].*picogate\.cfg:7.*broken\.pem/, certificates);
  }

  const program = await dropInProgram(t, sections(`crt ${pemFile}`));
  await program.configure(sections(`crt-list ${list}`));
  t.regex(await program.ask('reload'), /^Success=0\n--\n(?:.*\n)*\[ALERT\].*broken\.pem/);
});
