/** What follows from what an app starts from next. */
import type {AppConfig} from '../config/value.ts';
import type {History} from './history.ts';
import type {Rest} from './instance.ts';
import {firstDue} from './timers/app-timer.ts';
import type {WakeFacts} from './timers/wake-timer.ts';

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

/** When its own timers wake it, and how long that takes. */
export function wakeFacts(rest: Rest, {timers: setting}: AppConfig, {facts: {lastWake}}: Pick<History, 'facts'>): WakeFacts {
  const saved = rest.kind === 'checkpoint' ? rest.meta.timers : undefined;
  return {due: saved === undefined || setting === null ? null : firstDue(saved, setting.minMs), wakeMs: lastWake?.ms ?? 0};
}
