/** A section `resolvers`: who is asked for the addresses of servers, and how long what is known holds. Times are in milliseconds. */
import type {Position} from './position.ts';

export interface ResolversConfig {
  readonly name: string;
  readonly position: Position;
  readonly nameservers: readonly NameserverConfig[];
  /** Those of /etc/resolv.conf too. */
  readonly parseResolvConf: boolean;
  /** How often a question is sent before it counts as unanswered. */
  readonly resolveRetries: number;
  /** `timeout resolve`: the pause after an answer that was none; `timeout retry`: how long an answer is waited for. */
  readonly timeouts: {readonly resolveMs: number; readonly retryMs: number};
  /**
   * `valid`: the pause after a good answer. `obsolete`: how long an address is kept that answers no longer have. The others: how long the last good
   * answer holds while answers are of that kind.
   */
  readonly hold: Readonly<Record<HoldKind, number>>;
  /** The largest answer over UDP, 512 to 65535. */
  readonly acceptedPayloadBytes: number;
}

export const holdKinds = ['valid', 'nx', 'refused', 'timeout', 'other', 'obsolete'] as const;
export type HoldKind = (typeof holdKinds)[number];

export interface NameserverConfig {
  readonly name: string;
  readonly protocol: 'udp' | 'tcp';
  /** An address. */
  readonly host: string;
  readonly port: number;
}

/** A section of which a configuration says nothing but the name, with HAProxy's defaults. */
export function bareResolvers({name, position}: Pick<ResolversConfig, 'name' | 'position'>): ResolversConfig {
  return {
    name,
    position,
    nameservers: [],
    parseResolvConf: false,
    resolveRetries: 3,
    timeouts: {resolveMs: 1000, retryMs: 1000},
    hold: {valid: 10_000, nx: 30_000, other: 30_000, refused: 30_000, timeout: 30_000, obsolete: 0},
    acceptedPayloadBytes: 512,
  };
}
