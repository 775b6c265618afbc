/**
 * Lists and maps that came from files, by the name of the file, as the runtime API knows them (`show map`, `add acl`, `del map`): whatever was
 * compiled from a file sees a change at once.
 */
import type {MatchMethod} from '../../config/sample.ts';
import {CodedError, errorMessage} from '../../core/errors.ts';
import {createPatternIndex, EntriesByKey, type PatternEntry, type PatternIndex, type PatternOptions} from './patterns.ts';
import {type Found, toText} from './value.ts';

export type PatternMethod = Exclude<MatchMethod, 'found' | 'bool'>;

/** Matches samples against the entries of a list as they are now. */
export type Lookup = (value: Found) => PatternEntry | null;

export interface PatternList {
  readonly kind: 'acl' | 'map';
  /** The files that it was made of; none for patterns that stand in the configuration. */
  readonly names: readonly string[];
  readonly entries: readonly PatternEntry[];
  /** A way to find entries; the same for all who ask for the same one. @throws CodedError ERR_PATTERN, ERR_REGEX for an entry that is no such pattern */
  lookup(method: PatternMethod, options: PatternOptions): Lookup;
  /** @throws CodedError ERR_PATTERN, ERR_REGEX: then the list is as it was */
  add(pattern: string, value: string): void;
  /** Gives all entries of that pattern a value. @returns how many there were */
  set(pattern: string, value: string): number;
  /** The entry that a sample finds, as those who look up find it. */
  find(sample: Found): PatternEntry | null;
  /** Only that one. False: it is not there any more. */
  remove(entry: PatternEntry): boolean;
  /** @returns how many there were */
  delete(pattern: string): number;
  clear(): void;
}

export interface PatternLists {
  /** The map of a file; `read` is called when it is asked for the first time. */
  openMap(name: string, read: () => readonly PatternEntry[]): PatternList;
  /** The list of these files with these patterns, which may hold more than those of the files: shared by all who ask for the same. */
  openList(names: readonly string[], patterns: readonly string[]): PatternList;
  /** Those made of a file: more than one when conditions add patterns of their own. A change is made to each. */
  find(kind: 'acl' | 'map', name: string): readonly PatternList[];
  all(): readonly PatternList[];
}

export function createPatternLists(): PatternLists {
  const lists: PatternList[] = [];
  const find: PatternLists['find'] = (kind, name) => lists.filter((list) => list.kind === kind && list.names.includes(name));
  const keep = (list: PatternList): PatternList => {
    lists.push(list);
    return list;
  };
  return {
    openMap: (name, read) => find('map', name)[0] ?? keep(createPatternList('map', [name], read())),
    openList(names, patterns) {
      const [name = ''] = names;
      const known = find('acl', name).find(
        (list) =>
          sameTexts(list.names, names) &&
          sameTexts(
            list.entries.map((entry) => entry.pattern),
            patterns,
          ),
      );
      return (
        known ??
        keep(
          createPatternList(
            'acl',
            names,
            patterns.map((pattern) => ({pattern, value: ''})),
          ),
        )
      );
    },
    find,
    all: () => lists,
  };
}

function sameTexts(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((text, index) => text === b[index]);
}

export function createPatternList(kind: 'acl' | 'map', names: readonly string[], initial: readonly PatternEntry[]): PatternList {
  const entries = new Set(initial);
  /** Null after a change. */
  let listed: readonly PatternEntry[] | null = null;
  // As a list may be asked for in one way, and be changed by what stands in it.
  const byPattern = new EntriesByKey<string>();
  for (const entry of initial) byPattern.add(entry.pattern, entry);
  const indexes = new Map<string, KeptIndex>();
  const remove = (entry: PatternEntry): boolean => {
    if (!entries.delete(entry)) return false;
    listed = null;
    byPattern.remove(entry.pattern, entry);
    for (const {index} of indexes.values()) index.remove(entry);
    return true;
  };
  return {
    kind,
    names,
    get entries() {
      listed ??= [...entries];
      return listed;
    },
    lookup(method, options) {
      const key = `${method} ${options.ignoreCase} ${options.dottedNumbers === true}`;
      const kept = indexes.get(key) ?? keptIndex(() => createPatternIndex(method, options), entries);
      indexes.set(key, kept);
      return (value) => kept.index.find(value);
    },
    add(pattern, value) {
      const entry = {pattern, value};
      for (const {create} of indexes.values()) create().add(entry);
      entries.add(entry);
      listed = null;
      byPattern.add(pattern, entry);
      for (const {index} of indexes.values()) index.add(entry);
    },
    set(pattern, value) {
      const found = byPattern.all(pattern);
      for (const entry of found) entry.value = value;
      return found.length;
    },
    find(sample) {
      const [kept] = indexes.values();
      return kept === undefined ? byPattern.first(toText(sample)) : kept.index.find(sample);
    },
    remove,
    delete(pattern) {
      const found = byPattern.all(pattern);
      for (const entry of found) remove(entry);
      return found.length;
    },
    clear() {
      entries.clear();
      listed = null;
      byPattern.clear();
      for (const kept of indexes.values()) kept.index = kept.create();
    },
  };
}

interface KeptIndex {
  readonly create: () => PatternIndex;
  index: PatternIndex;
}

/** @throws CodedError ERR_PATTERN, ERR_REGEX */
function keptIndex(create: () => PatternIndex, entries: Iterable<PatternEntry>): KeptIndex {
  const index = create();
  for (const entry of entries) index.add(entry);
  return {create, index};
}

/** Lines of a map file: a key, blanks, and the rest of the line is its value. HAProxy's manual, section 7.3.1, `map`. */
export function parseMapFile(text: string): PatternEntry[] {
  const entries: PatternEntry[] = [];
  for (const line of text.split('\n')) {
    const found = /^[ \t]*([^ \t\r]+)[ \t]*(.*?)[ \t\r]*$/.exec(line);
    const key = found?.[1];
    if (key !== undefined && !key.startsWith('#')) entries.push({pattern: key, value: found?.[2] ?? ''});
  }
  return entries;
}

/** @throws CodedError ERR_MAP naming the file */
export function readMapFile(path: string, read: (path: string) => string): PatternEntry[] {
  try {
    return parseMapFile(read(path));
  } catch (error) {
    throw new CodedError('ERR_MAP', `Cannot read map "${path}": ${errorMessage(error)}`, {source: 'host', cause: error});
  }
}
