import {readdir, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import test from 'ava';
import {conversionOf, conversionText} from '../../src/cli/convert.ts';
import {runProgram} from '../helpers/run-program.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';

const configuration = `global
    chroot /var/lib/haproxy
    lua-load /etc/haproxy/x.lua
    daemon
defaults
    mode http
    timeout connect 5s
    timeout server 1m
frontend web
    bind :80
    http-request send-spoe-group antivirus check
    filter trace name before
    default_backend app
backend app
    option http-tunnel
    server s1 127.0.0.1:8080 check
    server s2 192.0.2.1:+8080
`;

test('each line that is refused, ignored or different has a reason and says what to write instead', async (t) => {
  await using directory = await temporaryDirectory();
  const file = join(directory.path, 'haproxy.cfg');
  await writeFile(file, configuration);
  const {valid, lines} = await conversionOf([file]);
  t.false(valid);
  t.deepEqual(
    lines.map(({kind, line, text}) => [line, kind, text]),
    [
      [2, 'without effect', 'chroot /var/lib/haproxy'],
      [3, 'refused', 'lua-load /etc/haproxy/x.lua'],
      [9, 'different', 'frontend web'],
      [11, 'refused', 'http-request send-spoe-group antivirus check'],
      [12, 'refused', 'filter trace name before'],
      [15, 'without effect', 'option http-tunnel'],
      [17, 'refused', 'server s2 192.0.2.1:+8080'],
    ],
  );
  for (const {reason, instead} of lines) t.true(reason.length > 10 && instead.length > 10);
  t.is(lines[3]?.instead, 'ask the service in a backend of its own: `http-request` rules cannot call out');

  await writeFile(file, configuration.replaceAll(/^.*(?:lua-load|spoe|filter|\+8080).*\n/gm, ''));
  const taken = await conversionOf([file]);
  t.true(taken.valid);
  t.deepEqual(taken.candidates, [{backend: 'app', server: 's1', address: '127.0.0.1:8080'}]);
  const text = conversionText(taken);
  t.regex(text, /haproxy\.cfg:2: without effect\n {4}chroot \/var\/lib\/haproxy\n {4}'chroot' has no effect here\n {4}-> it may stay/);
  t.regex(
    text,
    /HTTP is parsed more strictly[\s\S]*`daemon` counts[\s\S]*backend app, server s1: 127\.0\.0\.1:8080\n\n0 refused, 1 different, 2 without effect: it can be taken as it is\n$/,
  );
  const ended = await runProgram(['convert', file, '--json']);
  t.deepEqual([ended.exitCode, JSON.parse(ended.stdout)], [0, JSON.parse(JSON.stringify(taken))]);
  await writeFile(file, 'nonsense\n');
  t.is((await runProgram(['convert', file])).exitCode, 1);
});

const examples = '/usr/share/doc/haproxy/examples';

test("HAProxy's own examples are judged, and what is refused there says what to do", async (t) => {
  const names = (await readdir(examples).catch(() => [])).filter((name) => name.endsWith('.cfg'));
  const verdicts = new Map<string, boolean>();
  for (const name of names) {
    const {valid, lines} = await conversionOf([join(examples, name)]);
    verdicts.set(name, valid);
    t.is(valid, !lines.some(({kind}) => kind === 'refused'), name);
    for (const {instead} of lines) t.not(instead, '', name);
  }
  // Minimal installations of Debian have no documents.
  if (names.length > 0) t.deepEqual([verdicts.get('content-sw-sample.cfg'), verdicts.get('socks4.cfg')], [true, false]);
  t.true((await conversionOf(['/etc/haproxy/haproxy.cfg'])).valid);
});
