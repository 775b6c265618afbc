/** Debian's HAProxy as a peer, on unix sockets of the test's directory. */
import {access, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import {startDaemon} from '../../src/core/command.ts';
import {until} from '../helpers/until.ts';

/**
 * @param configuration without `defaults`, which are short time-outs of mode tcp
 * @param socket a path that it binds, waited for
 */
export async function startHaproxy(directory: string, configuration: string, socket: string): Promise<AsyncDisposable> {
  const file = join(directory, 'haproxy.cfg');
  const defaults = 'defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 5s\n  timeout server 5s\n';
  await writeFile(file, `${defaults}${configuration}\n`);
  const daemon = await startDaemon(['haproxy', '-db', '-f', file], {stdio: ['ignore', 'ignore', 'pipe']});
  let ended: string | null = null;
  void daemon.exited.then(({stderr}) => {
    ended = stderr;
  });
  await until(
    async () => {
      if (ended !== null) throw new Error(`haproxy has ended: ${ended}`);
      return access(socket).then(
        () => true,
        () => false,
      );
    },
    {what: 'haproxy to listen'},
  );
  return daemon;
}
