/** The ways in which a server comes to answer. */
import type {Condition} from './condition.ts';
import type {Server} from './servers.ts';

export const wayNames = ['Picogate', 'criu restore', 'criu lazy-pages', 'started anew'] as const;
export type WayName = (typeof wayNames)[number];

export interface Way {
  readonly name: WayName;
  /** Directories with all that it reads from the disk, besides the root file system. */
  readonly reads: readonly string[];
  /** It takes long, and is not measured more often. */
  readonly roundsMax?: number;
  /** Wakes it, asks, and puts it to sleep again. @returns the values of a sample */
  wake(): Promise<Record<string, number>>;
}

export function caseName(server: Server, way: WayName, condition: Condition): string {
  return `${server.name}, ${condition}, ${way}`;
}
