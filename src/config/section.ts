/** A section as it was written: settings in order, each value already read by its keyword's shape. */

import type {Arguments} from './arguments.ts';
import type {SectionKind} from './keyword.ts';
import {type KeywordName, keywords, type ValueOf} from './keywords.ts';
import type {Position} from './position.ts';
import type {Scope} from './scope.ts';

export interface Setting<Name extends KeywordName> {
  readonly name: Name;
  readonly value: ValueOf<Name>;
  /** Of the keyword. */
  readonly position: Position;
}

export type AnySetting = {[Name in KeywordName]: Setting<Name>}[KeywordName];

export interface Section {
  readonly kind: SectionKind;
  /** `''` for `global` and unnamed `defaults`. */
  readonly name: string;
  /** Of the section's keyword. */
  readonly position: Position;
  /** The section whose values hold where this one has none. */
  readonly defaults: Section | null;
  readonly settings: readonly AnySetting[];
  /** The same by keyword. */
  readonly byName: ReadonlyMap<KeywordName, readonly AnySetting[]>;
  /** Keywords that are there but could not be read: they are not missing. */
  readonly failed: ReadonlySet<string>;
  readonly scope: Scope;
}

/** Reads what follows a keyword. @throws ConfigError */
export function readSetting(name: KeywordName, args: Arguments): AnySetting {
  const value: unknown = keywords[name].shape.read(args);
  args.expectEnd();
  // The value comes from the shape of this very keyword, which the compiler cannot follow.
  return {name, value, position: args.position} as AnySetting;
}

/** Settings by their keywords. */
export function settingsByName(settings: readonly AnySetting[]): ReadonlyMap<KeywordName, readonly AnySetting[]> {
  return Map.groupBy(settings, ({name}) => name);
}

/** All settings of a keyword in this section, in order. */
export function all<Name extends KeywordName>(section: Section, name: Name): readonly (Setting<Name> & AnySetting)[] {
  // What is kept under a name has that name, which the compiler cannot follow.
  return (section.byName.get(name) ?? []) as readonly (Setting<Name> & AnySetting)[];
}

/** The value that this section itself gives; the last one counts. */
export function own<Name extends KeywordName>(section: Section, name: Name): Setting<Name> | undefined {
  return all(section, name).at(-1);
}

/** The value that holds in this section: its own, or that of its defaults. */
export function effective<Name extends KeywordName>(section: Section, name: Name): Setting<Name> | undefined {
  for (let at: Section | null = section; at !== null; at = at.defaults) {
    const setting = own(at, name);
    if (setting !== undefined) return setting;
  }
  return undefined;
}

/** All settings of a keyword, those of the defaults first. */
export function inherited<Name extends KeywordName>(section: Section, name: Name): readonly (Setting<Name> & AnySetting)[] {
  return section.defaults === null ? all(section, name) : [...inherited(section.defaults, name), ...all(section, name)];
}

/** The settings of several keywords in the order of their lines, those of the defaults first. */
export function inOrder<Name extends KeywordName>(section: Section, names: readonly Name[]): readonly (Setting<Name> & AnySetting)[] {
  const before = section.defaults === null ? [] : inOrder(section.defaults, names);
  return [...before, ...section.settings.filter((setting): setting is Setting<Name> & AnySetting => names.some((name) => name === setting.name))];
}

/** True when neither the section nor its defaults mention a keyword, not even wrongly. */
export function isMissing(section: Section, name: KeywordName): boolean {
  for (let at: Section | null = section; at !== null; at = at.defaults) {
    if (at.failed.has(name) || own(at, name) !== undefined) return false;
  }
  return true;
}
