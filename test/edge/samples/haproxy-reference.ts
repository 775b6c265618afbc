/** HAProxy on a unix socket, as the reference for what expressions and conditions yield. */
import {once} from 'node:events';
import {writeFile} from 'node:fs/promises';
import {connect} from 'node:net';
import {join} from 'node:path';
import {startDaemon} from '../../../src/core/command.ts';
import {temporaryDirectory} from '../../helpers/temporary-directory.ts';
import {until} from '../../helpers/until.ts';

const separator = '\n|~|';

export interface Reference extends AsyncDisposable {
  /** What each format yields for a request, in order. @param head a request with its headers, one that asks to close */
  formats(head: string): Promise<string[]>;
  /** Which conditions hold. */
  conditions(head: string): Promise<boolean[]>;
}

export interface ReferenceOptions {
  /** Log formats, such as `%[path]`. */
  readonly formats: readonly string[];
  /** As after `if`. */
  readonly conditions: readonly string[];
  readonly directory: string;
}

/** @throws Error with what HAProxy says about a configuration that it refuses */
export async function startReference({formats, conditions, directory}: ReferenceOptions): Promise<Reference> {
  await using scope = new AsyncDisposableStack();
  const {path} = scope.use(await temporaryDirectory());
  const socketPath = join(path, 'haproxy.sock');
  await writeFile(join(path, 'formats'), formats.join(separator));
  await writeFile(join(path, 'conditions'), conditions.map((_, index) => `%[var(txn.c${index})]`).join(separator));
  const config = `global
  default-path config
defaults
  mode http
  timeout client 5s
frontend fe
  bind unix@${socketPath} accept-proxy
  option http-use-proxy-header
  http-request set-var(txn.text) str(stored)
  http-request set-var(txn.number) int(7)
${conditions.map((condition, index) => `  http-request set-var(txn.c${index}) bool(true) if ${condition}`).join('\n')}
  http-request return status 200 content-type text/plain lf-file ${join(path, 'conditions')} if { var(txn.nothing) -m found } || { hdr(x-ask) conditions }
  http-request return status 200 content-type text/plain lf-file ${join(path, 'formats')}
`;
  await writeFile(join(path, 'haproxy.cfg'), config);
  const daemon = scope.use(await startDaemon(['haproxy', '-db', '-f', join(path, 'haproxy.cfg')], {stdio: ['ignore', 'ignore', 'pipe'], cwd: directory}));
  const ended = daemon.exited.then(({stderr}) => stderr);
  const connected = until(() => canConnect(socketPath), {what: 'HAProxy to listen'}).then(() => null);
  const failure = await Promise.race([ended, connected]);
  if (failure !== null) throw new Error(failure);
  const owned = scope.move();
  return {
    formats: async (head) => (await ask(socketPath, head)).split(separator),
    conditions: async (head) => (await ask(socketPath, head.replace('\r\n\r\n', '\r\nx-ask: conditions\r\n\r\n'))).split(separator).map((text) => text === '1'),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function canConnect(path: string): Promise<boolean> {
  const socket = connect(path);
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    // Not there yet.
    return false;
  } finally {
    socket.destroy();
  }
}

async function ask(path: string, head: string): Promise<string> {
  const socket = connect(path);
  socket.setTimeout(5000, () => socket.destroy(new Error('no answer')));
  socket.write(Buffer.from(`PROXY TCP4 192.0.2.1 198.51.100.2 4000 80\r\n${head}`, 'latin1'));
  const chunks: Buffer[] = [];
  for await (const chunk of socket as AsyncIterable<Buffer>) chunks.push(chunk);
  const answer = Buffer.concat(chunks).toString('latin1');
  if (!answer.startsWith('HTTP/1.1 200')) throw new Error(`HAProxy answers ${answer.slice(0, 200)}`);
  return answer.slice(answer.indexOf('\r\n\r\n') + 4);
}
