/** Reloads under questions to a frontend in mode dns. */
import {createSocket, type Socket} from 'node:dgram';
import {once} from 'node:events';
import test from 'ava';
import {run} from '../../src/core/command.ts';
import {question} from '../edge/dns/dns-fixture.ts';
import {dropInProgram} from '../helpers/drop-in-program.ts';
import {freePort} from '../helpers/gateway.ts';
import {until} from '../helpers/until.ts';

const sections = (port: number, address: string): string => `frontend names
  mode dns
  bind udp@127.0.0.1:${port}
  bind tcp@127.0.0.1:${port}
  zone apps.test
  record www.apps.test A ${address}
`;

async function dig(port: number, ...options: readonly string[]): Promise<string> {
  const {stdout} = await run(['dig', '@127.0.0.1', '-p', String(port), '+short', '+tries=1', '+time=5', ...options, 'www.apps.test'], {timeoutMs: 20_000});
  return stdout.trim();
}

/** Asks for one address after the other, each as soon as the one before is answered. */
async function askOften(socket: Socket, port: number, goesOn: () => boolean): Promise<number> {
  let asked = 0;
  while (goesOn()) {
    socket.send(question('www.apps.test', {id: asked & 0xffff}), port, '127.0.0.1');
    await once(socket, 'message', {signal: AbortSignal.timeout(5000)});
    asked++;
  }
  return asked;
}

test('four reloads under questions lose none of them, over UDP and over TCP', async (t) => {
  const port = await freePort();
  const program = await dropInProgram(t, sections(port, '192.0.2.1'));
  t.is(await dig(port), '192.0.2.1');
  const progress = {reloads: 0, dug: 0};
  const socket = createSocket('udp4');
  t.teardown(() => socket.close());
  const digging = async (): Promise<void> => {
    while (progress.reloads < 4) {
      t.regex(await dig(port, ...(progress.dug % 2 === 0 ? [] : ['+tcp'])), /^192\.0\.2\.\d$/);
      progress.dug++;
    }
  };
  const reloading = async (): Promise<void> => {
    for (let turn = 1; turn <= 4; turn++) {
      const before = progress.dug;
      await until(() => progress.dug > before + 2);
      await program.configure(sections(port, `192.0.2.${turn + 1}`));
      t.is(await program.ask('reload'), 'Success=1\n\n');
      // Questions that come now are for the new generation.
      t.is(await dig(port), `192.0.2.${turn + 1}`);
      t.is(await dig(port, '+tcp'), `192.0.2.${turn + 1}`);
      progress.reloads = turn;
    }
  };
  const [asked] = await Promise.all([askOften(socket, port, () => progress.reloads < 4), digging(), digging(), reloading()]);
  t.true(asked > 100, `${asked} questions`);
});
