/** What it means for an app's state from what it starts next. */
import type {Rest} from './instance.ts';

export function stateAtRest(rest: Rest): 'hibernated' | 'stopped' {
  return rest.kind === 'checkpoint' ? 'hibernated' : 'stopped';
}

/** An instance was lost: what it was restored from stands, if it was. */
export function lossEvent(rest: Rest): 'lost' | 'lostUnsaved' {
  return rest.kind === 'checkpoint' ? 'lost' : 'lostUnsaved';
}
