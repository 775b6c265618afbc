import {CodedError} from '../core/errors.ts';

/**
 * The life of an app on its worker. A cold start and a restore are both `reviving`. `stopped` is an app that was never
 * started, or that ended by itself; it starts from its files, not from a checkpoint. What an app starts from may be found out late, when a store that
 * could not be reached answers. `takeOver`: a gateway that was killed has left it running.
 */
export const transitions = {
  stopped: {wake: 'reviving', takeOver: 'running', foundCheckpoint: 'hibernated'},
  hibernated: {wake: 'reviving', takeOver: 'running', foundFiles: 'stopped'},
  failed: {wake: 'reviving', foundCheckpoint: 'hibernated', foundFiles: 'stopped'},
  reviving: {ready: 'running', restoreFailed: 'hibernated', startFailed: 'failed'},
  running: {drain: 'draining', died: 'stopped', lost: 'hibernated', lostUnsaved: 'failed'},
  draining: {drained: 'checkpointing', cancelled: 'running', died: 'stopped', lost: 'hibernated', lostUnsaved: 'failed'},
  checkpointing: {committed: 'hibernated', cancelled: 'running', died: 'stopped', lost: 'hibernated', lostUnsaved: 'failed'},
} as const satisfies Record<string, Record<string, string>>;

export type State = keyof typeof transitions;
type EventsOf<S> = S extends State ? keyof (typeof transitions)[S] : never;
export type LifecycleEvent = EventsOf<State>;

/**
 * The one function that applies the table.
 * @throws CodedError ERR_BAD_TRANSITION when the table has no such step: a bug of the caller
 */
export function next(state: State, event: LifecycleEvent): State {
  const steps: Partial<Record<LifecycleEvent, State>> = transitions[state];
  const target = steps[event];
  if (target === undefined) throw new CodedError('ERR_BAD_TRANSITION', `Cannot apply "${event}" to an app that is ${state}`, {source: 'bug'});
  return target;
}
