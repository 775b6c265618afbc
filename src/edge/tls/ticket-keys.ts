/**
 * The keys of `tls-ticket-keys`, which several gateways share, so that clients need no whole handshake with another one of them. Node knows one
 * key at a time: the one that makes tickets is the only one whose tickets are accepted.
 */
import {readFileSync} from 'node:fs';
import type {FrontendConfig} from '../../config/proxy-value.ts';
import {keptTicketKeys, parseTicketKeys} from '../../config/ticket-keys.ts';
import {CodedError} from '../../core/errors.ts';

export class TicketKeys {
  readonly path: string;
  /** The one of before, the one in use, and the next. */
  #keys: readonly Buffer[];
  #current: Buffer;

  /** @param keys of 48 bytes, as many as count */
  constructor(path: string, keys: readonly Buffer[]) {
    this.path = path;
    this.#keys = keys;
    this.#current = nodeKey(keys);
  }

  /** In the order of HAProxy's file. */
  get keys(): readonly Buffer[] {
    return this.#keys;
  }

  /** As Node wants it; another object after every change. */
  get current(): Buffer {
    return this.#current;
  }

  /** The next key is the one in use now, and this one comes after it. @param key of 48 bytes */
  add(key: Buffer): void {
    this.#keys = [...this.#keys, key].slice(-keptTicketKeys);
    this.#current = nodeKey(this.#keys);
  }
}

/** The last but one. HAProxy has the name, the key of AES and that of HMAC, and Node has the last two the other way round. */
function nodeKey(keys: readonly Buffer[]): Buffer {
  const key = keys.at(-2) ?? Buffer.alloc(0);
  return Buffer.concat([key.subarray(0, 16), key.subarray(32, 48), key.subarray(16, 32)]);
}

export type TicketKeyFiles = ReadonlyMap<string, TicketKeys>;

/** Of all binds, by their paths; those that were named last come first, as HAProxy numbers them. @throws CodedError ERR_TICKET_KEYS */
export function openTicketKeys(frontends: readonly FrontendConfig[]): TicketKeyFiles {
  const paths = new Set(frontends.flatMap(({binds}) => binds.flatMap(({tls}) => tls?.ticketKeysFile ?? [])));
  return new Map(
    [...paths].reverse().map((path) => {
      const read = parseTicketKeys(readFileSync(path, 'utf8'));
      if (!read.ok) throw new CodedError('ERR_TICKET_KEYS', `Cannot use keys of tickets "${path}": ${read.reason}`, {source: 'host'});
      return [path, new TicketKeys(path, read.keys)];
    }),
  );
}
