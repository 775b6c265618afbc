/** Changes of lists of patterns as data, so that every thread can make them. */
import {CodedError} from '../../core/errors.ts';
import type {PatternLists} from './pattern-lists.ts';

/** `list`: its place in `PatternLists.all()`, as everybody who has compiled the same rules has the same lists. `at`: the place of an entry in its list. */
export type PatternChange = {readonly list: number} & (
  | {readonly what: 'add'; readonly pattern: string; readonly value: string}
  | {readonly what: 'set'; readonly pattern: string; readonly value: string}
  | {readonly what: 'delete'; readonly pattern: string}
  | {readonly what: 'set-at'; readonly at: number; readonly value: string}
  | {readonly what: 'remove-at'; readonly at: number}
  | {readonly what: 'clear'}
);

/** @returns how many entries were changed. @throws CodedError ERR_PATTERN, ERR_REGEX: then the list is as it was */
export function changePatterns(lists: PatternLists, change: PatternChange): number {
  const list = lists.all()[change.list];
  if (list === undefined) throw new CodedError('ERR_ASSERTION', `There is no list of patterns ${change.list}`, {source: 'bug'});
  switch (change.what) {
    case 'add':
      list.add(change.pattern, change.value);
      return 1;
    case 'set':
      return list.set(change.pattern, change.value);
    case 'delete':
      return list.delete(change.pattern);
    case 'set-at': {
      const entry = list.entries[change.at];
      if (entry !== undefined) entry.value = change.value;
      return entry === undefined ? 0 : 1;
    }
    case 'remove-at': {
      const entry = list.entries[change.at];
      return entry !== undefined && list.remove(entry) ? 1 : 0;
    }
    case 'clear':
      list.clear();
      return 0;
    default:
      return change satisfies never;
  }
}
