import type {AppName} from '../../core/ids.ts';
import type {AppWatch} from '../app-access.ts';

/** Calls back when an app does not run any more. @returns a function that ends it */
export function whenAsleep(app: AppName, watch: AppWatch, asleep: () => void): () => void {
  return watch.onChange((changed, awake) => {
    if (changed === app && !awake) asleep();
  });
}
