/** An S3 server at the end of a slow line, and what a gateway has to be told to keep its checkpoints there. */
import type {Traffic} from './wakes.ts';

/** What others measured of S3 in the same region, in round numbers. */
export const line = {addedFirstByteMs: 20, streamBytesPerSecond: 80e6} as const;

export interface ColdStore extends AsyncDisposable {
  readonly globals: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly traffic: () => Traffic;
}

/** @throws Error when this version cannot keep checkpoints on S3 */
export async function openColdStore(_signal: AbortSignal): Promise<ColdStore> {
  throw new Error('cold cases are switched off: the gateway cannot keep checkpoints on S3 yet');
}
