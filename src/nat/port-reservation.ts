/**
 * In mode nat no socket listens where clients connect, so nothing would keep two programs from using one port.
 * A socket that never gets a packet reserves it, and fails as every listener does when the port is in use.
 */
import {createSocket} from 'node:dgram';
import {createServer} from 'node:net';
import {CodedError, errorCode} from '../core/errors.ts';
import {isWildcard, type NatFrontend} from './nft-rules.ts';

type Bind = Pick<NatFrontend, 'protocol' | 'host' | 'port'>;

export function bindKey(bind: Bind): string {
  return `${bind.protocol} ${isWildcard(bind.host) ? '0.0.0.0' : bind.host}:${bind.port}`;
}

async function reserveTcp(host: string, port: number): Promise<AsyncDisposable> {
  const server = createServer({}, (stray) => stray.destroy());
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({host, port, backlog: 1}, resolve);
  });
  server.unref();
  return {[Symbol.asyncDispose]: () => new Promise((resolve) => server.close(() => resolve()))};
}

async function reserveUdp(host: string, port: number): Promise<AsyncDisposable> {
  const socket = createSocket('udp4');
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject);
    socket.bind({address: host, port}, resolve);
  });
  socket.unref();
  return {[Symbol.asyncDispose]: () => new Promise((resolve) => socket.close(resolve))};
}

/** @throws CodedError ERR_BIND_FAILED */
export async function reservePort(bind: Bind): Promise<AsyncDisposable> {
  const host = isWildcard(bind.host) ? '0.0.0.0' : bind.host;
  try {
    return await (bind.protocol === 'tcp' ? reserveTcp(host, bind.port) : reserveUdp(host, bind.port));
  } catch (cause) {
    const found =
      errorCode(cause) === 'EADDRINUSE' ? 'the port is in use' : errorCode(cause) === 'EADDRNOTAVAIL' ? 'it is no address of this host' : 'the system refuses';
    throw new CodedError('ERR_BIND_FAILED', `Cannot bind ${bind.protocol} ${host}:${bind.port}: ${found}`, {source: 'host', cause});
  }
}
