/** What it means for an app's state from what it starts next. */
import type {AppConfig} from '../config/value.ts';
import type {Rest} from './instance.ts';

export function stateAtRest(rest: Rest): 'hibernated' | 'stopped' {
  return rest.kind === 'checkpoint' ? 'hibernated' : 'stopped';
}

/** An instance was lost: what it was restored from stands, if it was. */
export function lossEvent(rest: Rest): 'lost' | 'lostUnsaved' {
  return rest.kind === 'checkpoint' ? 'lost' : 'lostUnsaved';
}

/** At the end of the gateway: what was to be hibernated and could not be goes back to its last generation, with the files of that time. */
export function stopEvent({onStop}: AppConfig, rest: Rest): 'lost' | 'died' {
  return onStop === 'hibernate' && rest.kind === 'checkpoint' ? 'lost' : 'died';
}
