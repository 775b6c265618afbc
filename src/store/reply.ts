/** Replies of Redis are `unknown` until one of these has looked at them. */
import {CodedError} from '../core/errors.ts';

/** @throws CodedError ERR_BAD_STATE */
export function badReply(key: string, reply: unknown, wanted: string): never {
  const shown = reply === undefined ? 'nothing' : JSON.stringify(reply);
  throw new CodedError('ERR_BAD_STATE', `Cannot read Redis key "${key}": found ${shown.length > 80 ? `${shown.slice(0, 80)}...` : shown}, not ${wanted}`, {
    source: 'host',
  });
}

/** The texts of a flat list. @throws CodedError ERR_BAD_STATE */
export function listReply(key: string, reply: unknown): readonly string[] {
  if (!Array.isArray(reply) || !reply.every((item) => typeof item === 'string')) return badReply(key, reply, 'a list');
  return reply;
}

/** A hash, which the client hands over as an object or as a flat list. @throws CodedError ERR_BAD_STATE */
export function hashReply(key: string, reply: unknown): ReadonlyMap<string, string> {
  if (typeof reply === 'object' && reply !== null && !Array.isArray(reply)) {
    const entries: [string, unknown][] = Object.entries(reply);
    return new Map(entries.map(([field, value]) => (typeof value === 'string' ? [field, value] : badReply(key, reply, 'a hash'))));
  }
  const flat = listReply(key, reply);
  const hash = new Map<string, string>();
  for (let at = 0; at + 1 < flat.length; at += 2) hash.set(flat[at] ?? '', flat[at + 1] ?? '');
  return hash;
}

export interface Outcome {
  readonly kind: string;
  readonly rest: readonly (string | number)[];
}

/** What our scripts return: a word, then what goes with it. @throws CodedError ERR_BAD_STATE */
export function outcomeReply(key: string, reply: unknown): Outcome {
  if (!Array.isArray(reply) || !reply.every((item) => typeof item === 'string' || typeof item === 'number')) return badReply(key, reply, "a script's result");
  const [kind, ...rest] = reply;
  return typeof kind === 'string' ? {kind, rest} : badReply(key, reply, "a script's result");
}
