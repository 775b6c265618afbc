/** What a line can see of the section that it stands in, and of this host. */
import type {Word} from './lex.ts';
import type {Position} from './position.ts';
import type {AclTest} from './sample.ts';

/** Access to files that the text names; a test that has no files gives one that finds nothing. */
export interface HostFiles {
  /** @throws Error as node:fs does */
  readonly readText: (path: string) => string;
  /** What is there; null: nothing that this process can see. */
  readonly kindOf: (path: string) => 'file' | 'directory' | 'other' | null;
  /** Names in a directory, in order. @throws Error as node:fs does */
  readonly list: (path: string) => readonly string[];
}

export const noFiles: HostFiles = {
  readText(path) {
    throw Object.assign(new Error(`no such file or directory, open '${path}'`), {code: 'ENOENT'});
  },
  kindOf: () => null,
  list: () => [],
};

/** Something that a line names and another section must declare. */
export interface Reference {
  readonly kind: 'backend' | 'frontend' | 'server' | 'table' | 'userlist' | 'resolvers' | 'http-errors' | 'peers';
  readonly name: string;
  readonly position: Position;
}

/** Where relative paths start. */
export interface PathBases {
  /** `default-path`; null: the directory of the configuration file. */
  defaultPath: string | null;
  crtBase: string | null;
  caBase: string | null;
}

export interface CaptureSlot {
  readonly header: string | null;
  readonly length: number;
  readonly of: 'request' | 'response';
}

/** Grows while the lines of one section are read. */
export interface Scope {
  readonly section: string;
  /** ACLs of the lines before, by name. */
  readonly acls: Map<string, AclTest[]>;
  /** Slots that captures have taken so far, in the order of the lines; the number of a slot counts those of its kind. */
  readonly captures: CaptureSlot[];
  readonly references: Reference[];
  readonly host: HostFiles;
  readonly paths: PathBases;
  /** As the lines before have left it: `setenv`. */
  readonly env: Record<string, string | undefined>;
}

export function openScope(section: string, {host, paths, env}: Pick<Scope, 'host' | 'paths' | 'env'>): Scope {
  return {section, acls: new Map(), captures: [], references: [], host, paths, env};
}

export function refer(scope: Scope, kind: Reference['kind'], {text, position}: Word): void {
  scope.references.push({kind, name: text, position});
}

/** @returns the number of the new slot */
export function takeSlot(scope: Scope, slot: CaptureSlot): number {
  scope.captures.push(slot);
  return scope.captures.filter((taken) => taken.of === slot.of).length - 1;
}
