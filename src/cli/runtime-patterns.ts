/** Lists of patterns as the runtime API sees them: one for each file, whose changes are made wherever that file is used. */
import type {PatternKind, PatternListControl, PatternEntry as ShownEntry} from '../admin/gateway-control.ts';
import type {PatternList, PatternLists} from '../edge/samples/pattern-lists.ts';
import type {PatternEntry} from '../edge/samples/patterns.ts';

export function* patternControls(lists: PatternLists, kind: PatternKind): Generator<PatternListControl> {
  const seen = new Set<string>();
  for (const [id, list] of lists.all().entries()) {
    if (list.kind !== kind) continue;
    if (list.names.length === 0) yield patternControl({id, file: null, lists: [list]});
    for (const file of list.names) {
      if (seen.has(file)) continue;
      seen.add(file);
      yield patternControl({id, file, lists: lists.find(kind, file)});
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

function patternControl({id, file, lists}: NamedLists): PatternListControl {
  const [first] = lists;
  const kind = first?.kind ?? 'acl';
  const shown = (entry: PatternEntry): ShownEntry => ({id: idOf(entry), key: entry.pattern, value: kind === 'map' ? entry.value : null});
  const byId = (number: number): readonly {readonly list: PatternList; readonly entry: PatternEntry}[] =>
    lists.flatMap((list) => list.entries.filter((entry) => idOf(entry) === number).map((entry) => ({list, entry})));
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
    add(key, value) {
      for (const list of lists) list.add(key, value ?? '');
    },
    remove(entry) {
      if (typeof entry === 'string') return lists.map((list) => list.delete(entry)).some((count) => count > 0);
      return byId(entry).filter(({list, entry: found}) => list.remove(found)).length > 0;
    },
    replace(entry, value) {
      if (typeof entry === 'string') return lists.map((list) => list.set(entry, value)).some((count) => count > 0);
      const found = byId(entry);
      for (const {entry: changed} of found) changed.value = value;
      return found.length > 0;
    },
    clear() {
      for (const list of lists) list.clear();
    },
  };
}
