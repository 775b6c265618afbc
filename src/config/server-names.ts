/** Names of servers that have no address now: they start down, and the gateway goes on looking. HAProxy refuses to start with them. */
import {isIP} from 'node:net';
import type {BackendDraft} from './build-backend.ts';
import type {Diagnostic} from './diagnostic.ts';

/** @returns whether a name has an address; may not throw */
export type Lookup = (host: string) => Promise<boolean>;

/** Each name is asked for once. */
export async function unresolvedServers(backends: readonly BackendDraft[], lookup: Lookup): Promise<readonly Diagnostic[]> {
  const asked = new Map<string, Promise<boolean>>();
  const found = await Promise.all(backends.flatMap((backend) => backend.value.servers.map((_, index) => unresolved(backend, index, lookup, asked))));
  return found.filter((diagnostic) => diagnostic !== null);
}

async function unresolved(
  {value, targetPositions, lookedUp}: BackendDraft,
  index: number,
  lookup: Lookup,
  asked: Map<string, Promise<boolean>>,
): Promise<Diagnostic | null> {
  const server = value.servers[index];
  if (server?.target.kind !== 'address' || lookedUp[index] === false || isIP(server.target.host) !== 0) return null;
  const {host} = server.target;
  const answer = asked.get(host) ?? lookup(host);
  asked.set(host, answer);
  if (await answer) return null;
  const message = `server '${value.name}/${server.name}': could not resolve address '${host}'; it is down until that name has one`;
  return {level: 'warning', position: targetPositions[index] ?? server.position, word: host, message};
}
