import {once} from 'node:events';
import {connect, type Socket} from 'node:net';

/** A client that sends a line and waits for a line; its connection stays open until it is disposed. */
export interface LineClient extends Disposable {
  readonly socket: Socket;
  request(line: string): Promise<string>;
  /** The next line, for servers that speak first. */
  nextLine(): Promise<string>;
}

/** @throws Error when the connection is refused, ends or stays silent for `timeoutMs` */
export async function lineClient(port: number, {host = '127.0.0.1', timeoutMs = 20_000}: {host?: string; timeoutMs?: number} = {}): Promise<LineClient> {
  const socket = connect(port, host);
  socket.setNoDelay(true);
  await once(socket, 'connect');
  let buffered = '';
  const waiting: {resolve: (line: string) => void; reject: (error: Error) => void}[] = [];
  const fail = (error: Error): void => {
    for (const waiter of waiting.splice(0)) waiter.reject(error);
  };
  socket.on('data', (data) => {
    buffered += data.toString();
    for (let end = buffered.indexOf('\n'); end >= 0 && waiting.length > 0; end = buffered.indexOf('\n')) {
      const line = buffered.slice(0, end).replace(/\r$/, '');
      buffered = buffered.slice(end + 1);
      waiting.shift()?.resolve(line);
    }
  });
  socket.on('error', fail);
  socket.on('close', () => fail(new Error('the connection ended')));
  const nextLine = (): Promise<string> =>
    new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no line in ${timeoutMs} ms`)), timeoutMs);
      waiting.push({
        resolve: (line) => {
          clearTimeout(timer);
          resolve(line);
        },
        reject: (error) => {
          clearTimeout(timer);
          reject(error);
        },
      });
      if (socket.destroyed) fail(new Error('the connection has ended'));
      else if (buffered.includes('\n')) socket.emit('data', Buffer.alloc(0));
    });
  return {
    socket,
    nextLine,
    request(line) {
      socket.write(`${line}\n`);
      return nextLine();
    },
    [Symbol.dispose]: () => void socket.destroy(),
  };
}

/** One request on a connection of its own. */
export async function ask(port: number, line: string): Promise<string> {
  using client = await lineClient(port);
  return await client.request(line);
}
