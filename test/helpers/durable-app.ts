/** A gateway with one app whose memory and files tell on each other: see test/fixtures/durable-server.py. */
import {fileURLToPath} from 'node:url';
import type {ExecutionContext} from 'ava';
import {freePort, type TestGateway, testGateway} from './gateway.ts';
import {ask} from './line-client.ts';
import {rootfsWith} from './rootfs.ts';
import {until} from './until.ts';

const fixtures = fileURLToPath(new URL('../fixtures', import.meta.url));

/** What `verify` answers when every byte is as it was. */
export const verified = 'ok 2048';

/** The section of an app with 8 MiB of known memory; `options` are further lines of it. */
export async function durableApp(
  name: string,
  options: readonly string[],
  {mebibytes = 8, rootfs}: {mebibytes?: number; rootfs?: string} = {},
): Promise<string> {
  return `app ${name}
    rootfs ${rootfs ?? (await rootfsWith('python3'))}
    exec /usr/bin/python3 /srv/durable-server.py 80 ${mebibytes}
    volume ${fixtures}:/srv:ro
    expose tcp 80
${options.map((option) => `    ${option}\n`).join('')}`;
}

/** What `picogate app add` needs for such an app, with 1 MiB of known memory. */
export function durableOptions(rootfs: string): string[] {
  const program = '/usr/bin/python3 /srv/durable-server.py 80 1';
  return ['--rootfs', rootfs, '--exec', program, '--volume', `${fixtures}:/srv:ro`, '--expose', 'tcp:80', '--hibernate-after', 'never'];
}

/** A section that leads a port to an app. */
export function listen(name: string, port: number, address = '127.0.0.1'): string {
  return `listen ${name}
    bind ${address}:${port}
    server s app:${name}:80
`;
}

/** App `a`, by default one that sleeps only when told, behind `port`. The gateway is not started yet. */
export async function durableGateway(t: ExecutionContext, ...options: readonly string[]): Promise<{gateway: TestGateway; port: number}> {
  return durableGatewayWith(t, {options: options.length === 0 ? ['hibernate-after never'] : options});
}

/** The same with lines in `global`. */
export async function durableGatewayWith(
  t: ExecutionContext,
  {options = ['hibernate-after never'], globals = ''}: {readonly options?: readonly string[]; readonly globals?: string},
): Promise<{gateway: TestGateway; port: number}> {
  const port = await freePort();
  return {gateway: await testGateway(t, `${await durableApp('a', options)}${listen('a', port)}`, {globals}), port};
}

/** Some moments are refused while a part comes back; the answer that counts is the first one. */
export async function askUntilAnswered(port: number, line: string): Promise<string> {
  let answer = '';
  await until(
    async () => {
      answer = await ask(port, line).catch(() => '');
      return answer !== '';
    },
    {timeoutMs: 20_000, what: `an answer to ${line}`},
  );
  return answer;
}
