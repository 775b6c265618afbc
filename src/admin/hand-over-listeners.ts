/** `_getsocks`: a process that is to replace this one gets its listening sockets (edge/old-sockets.ts has the other side). */
import {once} from 'node:events';
import type {Socket} from 'node:net';
import {trySend, trySendDescriptors} from '../core/libc.ts';
import {descriptorOf} from '../core/socket-descriptor.ts';

export interface HandedOver {
  readonly fd: number;
  /** Of the network; null: all. */
  readonly interface: string | null;
}

/** HAProxy's receivers have room for so many. */
const maxDescriptors = 252;
const acknowledgementTimeoutMs = 1000;

/** Sends nothing when there are none, nor to a client that is no unix socket: as HAProxy. */
export async function handOverListeners(client: Socket, listeners: readonly HandedOver[]): Promise<void> {
  const fd = descriptorOf(client);
  if (fd < 0 || listeners.length === 0 || client.remoteAddress !== undefined) return;
  const count = Buffer.alloc(4);
  count.writeInt32LE(listeners.length);
  if (trySend(fd, count, 0) !== count.length) return;
  for (let at = 0; at < listeners.length; at += maxDescriptors) {
    if (at > 0 && !(await isAcknowledged(client))) return;
    const part = listeners.slice(at, at + maxDescriptors);
    const facts = Buffer.concat(part.map(factsOf));
    const descriptors = part.map((listener) => listener.fd);
    if (trySendDescriptors(fd, facts, descriptors) !== facts.length) return;
  }
}

/** No name of a network namespace; the name of the interface; four bytes that mean nothing any more. */
function factsOf(listener: HandedOver): Buffer {
  const name = Buffer.from(listener.interface ?? '');
  return Buffer.concat([Buffer.from([0, name.length]), name, Buffer.alloc(4)]);
}

async function isAcknowledged(client: Socket): Promise<boolean> {
  if (client.read() !== null) return true;
  const signal = AbortSignal.timeout(acknowledgementTimeoutMs);
  try {
    await once(client, 'readable', {signal});
    return client.read() !== null;
  } catch {
    // It has gone, or says nothing.
    return false;
  }
}
