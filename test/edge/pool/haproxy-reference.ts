/** Debian's HAProxy as the reference: a configuration, started on unix sockets in a directory of its own. */
import {writeFile} from 'node:fs/promises';
import {createServer, type RequestListener} from 'node:http';
import {connect} from 'node:net';
import {join} from 'node:path';
import {startDaemon} from '../../../src/core/command.ts';
import {temporaryDirectory} from '../../helpers/temporary-directory.ts';
import {until} from '../../helpers/until.ts';

export interface Haproxy extends AsyncDisposable {
  /** What a command of its stats socket answers. */
  command(line: string): Promise<string>;
  /** Sends bytes to a unix socket of the directory, and returns all that comes until the end. */
  exchange(socketName: string, bytes: string): Promise<string>;
}

/** @param config is given the directory for its sockets; `global` and `defaults` are added */
export async function startHaproxy(directory: string, config: string): Promise<Haproxy> {
  const file = join(directory, 'haproxy.cfg');
  const admin = join(directory, 'admin.sock');
  const globals = `global\n  stats socket ${admin} level admin\ndefaults\n  timeout connect 2s\n  timeout client 5s\n  timeout server 5s\n`;
  await writeFile(file, `${globals}${config}\n`);
  const daemon = await startDaemon(['haproxy', '-db', '-q', '-f', file], {stdio: ['ignore', 'ignore', 'ignore']});
  const exchange = (path: string, bytes: string): Promise<string> =>
    new Promise((resolve, reject) => {
      const socket = connect({path, allowHalfOpen: true}, () => void socket.write(bytes));
      let text = '';
      socket.setEncoding('latin1');
      socket.on('data', (data: string) => {
        text += data;
      });
      // A reset after the answer is HAProxy's way to hang up on bytes that it did not read.
      socket.on('error', (error) => (text === '' ? reject(error) : resolve(text)));
      socket.on('end', () => {
        socket.end();
        resolve(text);
      });
    });
  // It answers when all its sockets are there; this one is made first.
  await until(
    () =>
      exchange(admin, 'show version\n').then(
        () => true,
        () => false,
      ),
    {what: 'haproxy'},
  );
  return {
    command: (line) => exchange(admin, `${line}\n`),
    exchange: (socketName, bytes) => exchange(join(directory, socketName), bytes),
    [Symbol.asyncDispose]: () => daemon[Symbol.asyncDispose](),
  };
}

/** A directory with HTTP servers s1, s2, ... on the sockets `s1.sock`, ...; each answers what `answer` makes of its name. */
export async function directoryWithServers(count: number, answer: (name: string) => RequestListener): Promise<{path: string} & AsyncDisposable> {
  await using scope = new AsyncDisposableStack();
  const directory = scope.use(await temporaryDirectory());
  for (let id = 1; id <= count; id++) {
    const server = createServer(answer(`s${id}`));
    await new Promise<void>((resolve) => void server.listen(join(directory.path, `s${id}.sock`), resolve));
    scope.defer(async () => {
      server.closeAllConnections();
      await new Promise((resolve) => void server.close(resolve));
    });
  }
  const owned = scope.move();
  return {path: directory.path, [Symbol.asyncDispose]: () => owned.disposeAsync()};
}
