/** A section `resolvers`: who is asked for the addresses of servers, and how long answers count. Times are in milliseconds. */
import type {Position} from './position.ts';

export interface ResolversConfig {
  readonly name: string;
  readonly position: Position;
  readonly nameservers: readonly {readonly name: string; readonly host: string; readonly port: number; readonly protocol: 'udp' | 'tcp'}[];
  /** Those of /etc/resolv.conf come too. */
  readonly systemNameservers: boolean;
  readonly retries: number;
  readonly retryTimeoutMs: number;
  /** Between two look-ups of a name. */
  readonly resolveTimeoutMs: number;
  /** How long the last good answer counts while the look-up says this. */
  readonly holdMs: Readonly<Record<HoldStatus, number>>;
  readonly payloadBytes: number;
}

export const holdStatuses = ['valid', 'nx', 'refused', 'timeout', 'other', 'obsolete'] as const;
export type HoldStatus = (typeof holdStatuses)[number];
