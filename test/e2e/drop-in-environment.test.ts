/** What `setenv` and the like do to the process. */
import test from 'ava';
import {testClient, testServer} from '../edge/edge-fixture.ts';
import {dropInProgram} from '../helpers/drop-in-program.ts';
import {freePort} from '../helpers/gateway.ts';
import {until} from '../helpers/until.ts';

test('expressions see the environment of the configuration, and a reload begins from what the process was started with', async (t) => {
  await using one = await testServer((socket) => void socket.end('one'));
  await using two = await testServer((socket) => void socket.end('two'));
  const port = await freePort();
  const sections = (line: string): string => `global
  ${line}
frontend fe
  bind 127.0.0.1:${port}
  use_backend %[env(TARGET)]
backend one
  server s 127.0.0.1:${one.port}
backend two
  server s 127.0.0.1:${two.port}
`;
  const answer = async (): Promise<string> => {
    using client = await testClient(port);
    await until(() => client.text() !== '');
    return client.text();
  };
  const program = await dropInProgram(t, sections('presetenv TARGET one'));
  t.is(await answer(), 'one');
  for (const [line, expected] of [
    ['presetenv TARGET two', 'two'],
    ['setenv TARGET one', 'one'],
  ] as const) {
    await program.configure(sections(line));
    t.is(await program.ask('reload'), 'Success=1\n\n');
    t.is(await answer(), expected);
  }
});
