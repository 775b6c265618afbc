/** Lists of patterns as the runtime API sees them: one for each file, whose changes are made wherever that file is used. */
import type {PatternKind, PatternListControl, PatternEntry as ShownEntry} from '../admin/gateway-control.ts';
import {changePatterns, type PatternChange} from '../edge/samples/pattern-change.ts';
import type {PatternList, PatternLists} from '../edge/samples/pattern-lists.ts';
import type {PatternEntry} from '../edge/samples/patterns.ts';

/** @param changed told of each change, for other threads */
export function* patternControls(lists: PatternLists, kind: PatternKind, changed: (change: PatternChange) => void): Generator<PatternListControl> {
  const change = (next: PatternChange): number => {
    const count = changePatterns(lists, next);
    changed(next);
    return count;
  };
  const seen = new Set<string>();
  for (const [id, list] of lists.all().entries()) {
    if (list.kind !== kind) continue;
    if (list.names.length === 0) yield patternControl({id, file: null, lists: [list]}, lists, change);
    for (const file of list.names) {
      if (seen.has(file)) continue;
      seen.add(file);
      yield patternControl({id, file, lists: lists.find(kind, file)}, lists, change);
    }
  }
}

const ids = new WeakMap<PatternEntry, number>();
let lastId = 0;

function idOf(entry: PatternEntry): number {
  const known = ids.get(entry);
  if (known !== undefined) return known;
  lastId++;
  ids.set(entry, lastId);
  return lastId;
}

interface NamedLists {
  readonly id: number;
  readonly file: string | null;
  /** One at least. */
  readonly lists: readonly PatternList[];
}

function patternControl({id, file, lists}: NamedLists, all: PatternLists, change: (change: PatternChange) => number): PatternListControl {
  const [first] = lists;
  const kind = first?.kind ?? 'acl';
  const shown = (entry: PatternEntry): ShownEntry => ({id: idOf(entry), key: entry.pattern, value: kind === 'map' ? entry.value : null});
  const numbers = lists.map((list) => all.all().indexOf(list));
  const each = (make: (list: number) => PatternChange): boolean => numbers.map((list) => change(make(list))).some((count) => count > 0);
  const byId = (number: number): readonly {readonly list: number; readonly at: number}[] =>
    lists.flatMap((list, index) => {
      const at = list.entries.findIndex((entry) => idOf(entry) === number);
      return at < 0 ? [] : [{list: numbers[index] ?? -1, at}];
    });
  return {
    id,
    file,
    description: file === null ? 'patterns of the configuration' : `pattern loaded from file '${file}' used by ${kind}`,
    get size() {
      return first?.entries.length ?? 0;
    },
    *entries() {
      for (const entry of first?.entries ?? []) yield shown(entry);
    },
    find(sample) {
      const entry = first?.find({type: 'str', value: sample}) ?? null;
      return entry === null ? null : shown(entry);
    },
    add: (pattern, value) => void each((list) => ({what: 'add', list, pattern, value: value ?? ''})),
    remove(entry) {
      if (typeof entry === 'string') return each((list) => ({what: 'delete', list, pattern: entry}));
      return byId(entry).map((place) => change({what: 'remove-at', ...place})).length > 0;
    },
    replace(entry, value) {
      if (typeof entry === 'string') return each((list) => ({what: 'set', list, pattern: entry, value}));
      return byId(entry).map((place) => change({what: 'set-at', ...place, value})).length > 0;
    },
    clear: () => void each((list) => ({what: 'clear', list})),
  };
}
