/** Reloads without a lost connection, as HAProxy's operators expect them. */
import {join} from 'node:path';
import test from 'ava';
import {echo, testClient, testServer} from '../edge/edge-fixture.ts';
import {dropInProgram, echoOnce} from '../helpers/drop-in-program.ts';
import {freePort} from '../helpers/gateway.ts';
import {until} from '../helpers/until.ts';

test('4 reloads under 5,000 new connections refuse none and lose none, and older sessions go on', async (t) => {
  await using server = await testServer(echo);
  const [kept, gone, added] = [await freePort(), await freePort(), await freePort()];
  const sections = (other: number): string => `frontend fe
  bind 127.0.0.1:${kept}
  bind 127.0.0.1:${other}
  default_backend bk
backend bk
  server s1 127.0.0.1:${server.port}
`;
  const program = await dropInProgram(t, sections(gone));
  using before = await testClient(kept);
  before.socket.write('before ');
  await until(() => before.text() === 'before ');

  const failures: string[] = [];
  let done = 0;
  let reloads = 0;
  const client = async (): Promise<void> => {
    while (done < 5000 || reloads < 4) {
      await echoOnce({port: kept}).catch((error: unknown) => failures.push(String(error)));
      done++;
    }
  };
  const reloading = (async () => {
    for (let turn = 1; turn <= 4; turn++) {
      await until(() => done > turn * 900);
      await program.configure(sections(turn % 2 === 1 ? added : gone));
      if (turn % 2 === 1) t.is(await program.ask('reload'), 'Success=1\n\n');
      else program.signal('SIGUSR2');
      await until(async () => (await program.ask('show proc')).includes(`${turn} [failed: 0]`));
      reloads = turn;
      // What the configuration binds now is what is open.
      await t.notThrowsAsync(echoOnce({port: turn % 2 === 1 ? added : gone}));
      await t.throwsAsync(echoOnce({port: turn % 2 === 1 ? gone : added}), {code: 'ECONNREFUSED'});
    }
  })();
  await Promise.all([reloading, ...Array.from({length: 16}, client)]);
  t.deepEqual(failures, []);
  t.true(done >= 5000);
  before.socket.write('after');
  await until(() => before.text() === 'before after', {what: 'an answer on the connection of before'});
});

test('a bad file leaves everything as it was, with the messages in the log and in the answer', async (t) => {
  await using server = await testServer(echo);
  const port = await freePort();
  const program = await dropInProgram(t, `listen l\n  bind 127.0.0.1:${port}\n  server s1 127.0.0.1:${server.port}\n`);
  await program.configure(`listen l\n  bnid 127.0.0.1:${port}\n`);
  const answer = await program.ask('reload');
  t.regex(answer, /^Success=0\n--\n(?:.*\n)*\[ALERT\].*unknown keyword 'bnid'/);
  t.regex(await program.log(), /unknown keyword 'bnid'/);
  t.regex(await program.ask('show proc'), /0 \[failed: 1\]/);
  await t.notThrowsAsync(echoOnce({port}));

  // A good file that cannot be carried out is no better.
  await using other = await testServer(echo);
  await program.configure(`listen l\n  bind 127.0.0.1:${port}\n  bind 127.0.0.1:${other.port}\n  server s1 127.0.0.1:${server.port}\n`);
  t.regex(await program.ask('reload'), /^Success=0\n--\nCannot bind frontend "l" to tcp 127\.0\.0\.1:\d+: the port is in use/);
  await t.notThrowsAsync(echoOnce({port}));
});

test('new sessions get the new backend, while old ones stay with theirs', async (t) => {
  await using first = await testServer((socket) => void socket.end('first'));
  await using second = await testServer((socket) => void socket.write('second'));
  const port = await freePort();
  const sections = (server: number): string => `listen l\n  bind 127.0.0.1:${port}\n  server s1 127.0.0.1:${server}\n`;
  const program = await dropInProgram(t, sections(second.port));
  using old = await testClient(port);
  await until(() => old.text() === 'second');
  await program.configure(sections(first.port));
  t.is(await program.ask('reload'), 'Success=1\n\n');
  using young = await testClient(port);
  t.is(await young.ended, 'first');
  t.false(old.socket.destroyed);
  t.is(second.sockets.size, 1);
});

test('SIGUSR1 stops softly: no new sessions, and the end when the last one has ended', async (t) => {
  await using server = await testServer(echo);
  const port = await freePort();
  const program = await dropInProgram(t, `listen l\n  bind 127.0.0.1:${port}\n  server s1 127.0.0.1:${server.port}\n`);
  using client = await testClient(port);
  client.socket.write('x');
  await until(() => client.text() === 'x');
  program.signal('SIGUSR1');
  await until(() =>
    echoOnce({port}).then(
      () => false,
      () => true,
    ),
  );
  client.socket.write('y');
  await until(() => client.text() === 'xy');
  client.socket.end();
  t.is((await program.exited).exitCode, 0);
});

test('SIGTERM stops at once with status 0, although sessions are open', async (t) => {
  await using server = await testServer(echo);
  const port = await freePort();
  const program = await dropInProgram(t, `listen l\n  bind 127.0.0.1:${port}\n  server s1 127.0.0.1:${server.port}\n`);
  using client = await testClient(port);
  client.socket.write('x');
  await until(() => client.text() === 'x');
  program.signal('SIGTERM');
  t.is((await program.exited).exitCode, 0);
});

test('-sf replaces another process: both listen until the new one is ready', async (t) => {
  await using server = await testServer(echo);
  const port = await freePort();
  const sections = `listen l\n  bind 127.0.0.1:${port}\n  server s1 127.0.0.1:${server.port}\n`;
  const old = await dropInProgram(t, sections);
  const young = await dropInProgram(t, sections, {args: ['-p', join(old.directory, 'pid'), '-sf', String(old.pid)]});
  t.is((await old.exited).exitCode, 0);
  await t.notThrowsAsync(echoOnce({port}));
  t.regex(await young.ask('show info'), new RegExp(`^Pid: ${young.pid}$`, 'm'));
});

test('a frontend that was disabled serves again after a reload', async (t) => {
  await using server = await testServer(echo);
  const port = await freePort();
  const program = await dropInProgram(
    t,
    `frontend fe
  bind 127.0.0.1:${port}
  default_backend bk
backend bk
  server s1 127.0.0.1:${server.port}
`,
  );
  await echoOnce({port});
  t.is(await program.ask('disable frontend fe'), '\n');
  await t.throwsAsync(echoOnce({port}), {message: /ECONNREFUSED/});
  t.is(await program.ask('reload'), 'Success=1\n\n');
  await echoOnce({port});
  t.notRegex(await program.log(), /accept EINVAL/);
});
