/** A client that sends exactly the bytes it is told to. */
import {once} from 'node:events';
import {connect, type Socket} from 'node:net';
import {until} from '../../helpers/until.ts';

export interface RawClient extends Disposable {
  readonly socket: Socket;
  text(): string;
  /** Settles when the connection is over, with all that came. */
  readonly over: Promise<string>;
  /** Waits until `part` has come. */
  received(part: string): Promise<void>;
}

export async function rawClient(port: number, bytes: string | Buffer = ''): Promise<RawClient> {
  const socket = connect({port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true});
  let text = '';
  socket.on('data', (data: Buffer) => {
    text += data.toString('latin1');
  });
  socket.on('end', () => socket.end());
  socket.on('error', () => {
    // A reset ends it too.
  });
  const over = new Promise<string>((resolve) => void socket.once('close', () => resolve(text)));
  await once(socket, 'connect');
  if (bytes.length > 0) socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes);
  return {
    socket,
    text: () => text,
    over,
    received: (part) => until(() => text.includes(part), {what: JSON.stringify(part), intervalMs: 2}),
    [Symbol.dispose]: () => void socket.destroy(),
  };
}

/** Sends `bytes` and waits for the end of the connection. */
export async function rawExchange(port: number, bytes: string | Buffer): Promise<string> {
  using client = await rawClient(port, bytes);
  return await client.over;
}
