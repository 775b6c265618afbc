import type {FencingToken} from '../core/ids.ts';
import type {AppOptions} from './app-status.ts';
import type {Origin} from './late-rest.ts';

/**
 * What another worker has made of the app meanwhile: only that counts. Asked under the lease, so that nobody changes it any more.
 * @returns null when nobody can have had the app since this worker looked last. @throws CodedError when another worker has it, or the store cannot say
 */
export async function catchUp({records, refresh}: Pick<AppOptions, 'records' | 'refresh'>, lease: Promise<FencingToken>): Promise<Origin | null> {
  if (refresh === null) return null;
  const token = await lease;
  if (!records.isStale()) return null;
  try {
    const origin = await refresh();
    records.caughtUp();
    return origin;
  } catch (error) {
    await records.release(token);
    throw error;
  }
}
