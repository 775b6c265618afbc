/** Rules that change the lists and maps of files: `set-map`, `del-map`, `add-acl`, `del-acl`. What is changed is in memory; the files stay. */
import type {ChangePatterns} from '../../config/rules.ts';
import type {SampleContext} from '../samples/context.ts';
import type {PatternList} from '../samples/pattern-lists.ts';
import type {Compilers} from './compilers.ts';

/** Whatever was made of the file sees the change at once; of a file that nothing uses there is nothing to change. */
export function compileChangePatterns({kind, file, key, value}: ChangePatterns, compilers: Compilers): (context: SampleContext) => void {
  const keyOf = compilers.format(key, 'message');
  const textOf = value === null ? () => '' : compilers.format(value, 'message');
  const change = changeOf(kind);
  return (context) => {
    const lists = compilers.patternLists(file);
    if (lists.length === 0) return;
    const pattern = configurationText(keyOf(context));
    const text = configurationText(textOf(context));
    for (const list of lists) change(list, pattern, text);
  };
}

function changeOf(kind: ChangePatterns['kind']): (list: PatternList, pattern: string, value: string) => void {
  switch (kind) {
    case 'set-map':
      return (list, pattern, value) => {
        if (list.set(pattern, value) === 0) addIfPossible(list, pattern, value);
      };
    case 'add-acl':
      return (list, pattern, value) => {
        if (!list.entries.some((entry) => entry.pattern === pattern)) addIfPossible(list, pattern, value);
      };
    case 'del-map':
    case 'del-acl':
      return (list, pattern) => void list.delete(pattern);
    default:
      return kind satisfies never;
  }
}

function addIfPossible(list: PatternList, pattern: string, value: string): void {
  try {
    list.add(pattern, value);
  } catch {
    // What a client sent is no address, say, and never will be one: as in HAProxy the list stays as it was, and the request goes on.
  }
}

/** A string of bytes as what it would be in a file. */
function configurationText(bytes: string): string {
  return /^[\x00-\x7f]*$/.test(bytes) ? bytes : Buffer.from(bytes, 'latin1').toString('utf8');
}
