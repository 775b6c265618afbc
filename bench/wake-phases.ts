import type {WakeRecord} from '../src/supervisor/app-status.ts';

/** Where the gateway says that the time of a wake went, milliseconds, as values of a sample; what a wake did not have is left out. */
export function phaseValues({phases}: {readonly phases?: WakeRecord['phases']}): Record<string, number> {
  return Object.fromEntries(Object.entries(phases ?? {}).filter((entry): entry is [string, number] => typeof entry[1] === 'number'));
}
