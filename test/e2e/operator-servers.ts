/** The servers behind operator-configuration.ts. */
import {once} from 'node:events';
import type {Server, Socket} from 'node:net';

/** What every server answers, whatever was asked: the head it got, or what the path asks for. */
function answerOf(head: string, socket: Socket): void {
  const [, path = '/'] = head.split(' ');
  const send = (fields: string, body: string): void =>
    void socket.write(
      `HTTP/1.1 200 OK\r\nX-Origin: origin-1\r\nETag: "1"\r\n${fields}Content-Length: ${body.length}\r\n\r\n${head.startsWith('HEAD ') ? '' : body}`,
    );
  if (path.startsWith('/silent')) return;
  if (path.startsWith('/hang-up')) socket.destroy();
  else if (path.startsWith('/cut')) socket.end('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf');
  else if (path.startsWith('/nonsense')) socket.end('nonsense\r\n\r\n');
  else if (path.startsWith('/chunks')) socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n');
  else if (path.startsWith('/slow')) setTimeout(() => send('', 'slow'), 150);
  else if (path.startsWith('/text')) send('Content-Type: text/plain\r\n', 'text '.repeat(400));
  else if (/^upgrade: websocket/im.test(head)) {
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n');
    socket.removeAllListeners('data');
    socket.on('data', (data: Buffer) => {
      socket.write(data.toString('latin1').toUpperCase());
    });
  } else send('Content-Type: text/html\r\n', head.toLowerCase().split('\r\n').sort().join('\n'));
}

export function serveHttp(socket: Socket): void {
  let text = '';
  socket.on('data', (data: Buffer) => {
    text += data.toString('latin1');
    for (let end = text.indexOf('\r\n\r\n'); end !== -1; end = text.indexOf('\r\n\r\n')) {
      const head = text.slice(0, end + 4);
      text = text.slice(end + 4);
      answerOf(head, socket);
    }
  });
}

/** Speaks first, as SMTP does, and says what came before the first word of its client. */
export function serveMail(socket: Socket): void {
  socket.write('220 mail\r\n');
  let text = '';
  socket.on('data', (data: Buffer) => {
    text += data.toString('latin1');
    if (text.includes('QUIT')) socket.end(`221 ${text.replaceAll(/[0-9]{2,}/g, 'N')}`);
  });
}

export function serveRedis(socket: Socket): void {
  socket.on('data', (data: Buffer) => {
    const text = data.toString('latin1');
    if (text.includes('PING')) socket.write('+PONG\r\n');
    if (text.includes('NONSENSE')) socket.write('-ERR unknown command\r\n');
    if (text.includes('QUIT')) socket.end('+OK\r\n');
  });
}

/** Disposed with `owned`. @returns its port */
export async function serve(owned: AsyncDisposableStack, server: Server, handler: (socket: Socket) => void): Promise<string> {
  const sockets = new Set<Socket>();
  server.on(server.listenerCount('secureConnection') === 0 && 'setSecureContext' in server ? 'secureConnection' : 'connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => {
      // 'close' follows.
    });
    handler(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  owned.defer(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const address = server.address();
  return String(typeof address === 'object' && address !== null ? address.port : address);
}
