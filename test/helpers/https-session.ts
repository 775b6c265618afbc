/** One TLS connection of a client that keeps it open, and asks for `/` over HTTP/1.1 again and again. */
import {once} from 'node:events';
import {type ConnectionOptions, connect} from 'node:tls';

export interface HttpsSession extends Disposable {
  /** Only the head and body of one answer may come. @throws Error when the connection ends, or nothing comes in 20 s */
  get(): Promise<{readonly status: number; readonly body: string}>;
  /** What the server gave last to resume the session with. */
  readonly session: Buffer;
  readonly isReused: boolean;
}

/** @throws Error when the handshake fails */
export async function httpsSession(port: number, options: ConnectionOptions = {}): Promise<HttpsSession> {
  const socket = connect({host: '127.0.0.1', port, rejectUnauthorized: false, ...options});
  let session: Buffer | undefined;
  socket.on('session', (given: Buffer) => {
    session = given;
  });
  await once(socket, 'secureConnect');
  return {
    async get() {
      socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
      const [data] = (await once(socket, 'data', {signal: AbortSignal.timeout(20_000)})) as [Buffer];
      const [head = '', body = ''] = data.toString().split('\r\n\r\n');
      return {status: Number(head.split(' ')[1]), body};
    },
    get session() {
      if (session === undefined) throw new Error('the server has given no session');
      return session;
    },
    isReused: socket.isSessionReused(),
    [Symbol.dispose]: () => socket.destroy(),
  };
}
