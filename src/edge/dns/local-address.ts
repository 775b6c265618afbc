/**
 * A socket on all addresses of the host does not tell at which one a datagram came in. The kernel does: it is, but for odd routes, the one from which
 * it would send to that client, and from which the answer goes.
 */
import {createSocket} from 'node:dgram';
import type {Clock} from '../../core/clock.ts';
import {plainAddress} from '../addresses.ts';

export interface LocalAddresses {
  /** The host's address towards a client; a promise (that never rejects) when that has to be found out. */
  towards(client: string): string | Promise<string>;
}

/** Routes change, and anybody can invent clients. */
const keptMs = 10_000;
const maxKept = 4096;
/** Any port will do: nothing is sent. */
const anyPort = 53;

/** @param fallback for clients to whom there is no route */
export function localAddresses(fallback: string, clock: Clock): LocalAddresses {
  let known = new Map<string, string>();
  let keptUntilMs = 0;
  return {
    towards(client) {
      const nowMs = clock.monotonicMs();
      if (nowMs >= keptUntilMs || known.size >= maxKept) {
        known = new Map();
        keptUntilMs = nowMs + keptMs;
      }
      const address = known.get(client);
      if (address !== undefined) return address;
      return askKernel(client, fallback).then((found) => {
        known.set(client, found);
        return found;
      });
    },
  };
}

function askKernel(client: string, fallback: string): Promise<string> {
  return new Promise((resolve) => {
    const family = client.includes(':') ? 6 : 4;
    const socket = createSocket({type: family === 6 ? 'udp6' : 'udp4', lookup: (known, _options, callback) => callback(null, known, family)});
    const finish = (address: string): void => {
      socket.close();
      resolve(address);
    };
    socket.once('error', () => finish(fallback));
    socket.once('connect', () => finish(plainAddress(socket.address().address)));
    socket.connect(anyPort, client);
  });
}
