/** A configuration and the apps that were added to it: read as if they stood behind the files, and refused one by one where they do not fit. */
import type {Diagnostic} from './diagnostic.ts';
import {type LoadOptions, loadSources} from './load.ts';
import type {SourceFile} from './parse.ts';
import type {Config} from './value.ts';

export interface AddedSource {
  readonly name: string;
  readonly text: string;
}

export interface Combined {
  /** Null: the files alone are not valid. */
  readonly config: Config | null;
  readonly diagnostics: readonly Diagnostic[];
  /** Names of apps that the files have too: theirs count. */
  readonly inFiles: ReadonlySet<string>;
  /** What is wrong with those that were left out, by name. */
  readonly refused: ReadonlyMap<string, readonly Diagnostic[]>;
}

/** As messages name it. */
export function addedPath(name: string): string {
  return `app add ${name}`;
}

/** @param files of the configuration. @param added in the order in which they were added; of two that exclude each other the first one counts */
export async function combineSources(files: readonly SourceFile[], added: readonly AddedSource[], options: LoadOptions): Promise<Combined> {
  let valid = await loadSources(files, options);
  const inFiles = new Set<string>(valid.config?.apps.map(({name}) => name));
  const refused = new Map<string, readonly Diagnostic[]>();
  const accepted: SourceFile[] = [...files];
  if (valid.config !== null) {
    const candidates = added.filter(({name}) => !inFiles.has(name)).map(({name, text}) => ({name, source: {path: addedPath(name), text}}));
    if (candidates.length === 0) return {...valid, inFiles, refused};
    const all = await loadSources([...files, ...candidates.map(({source}) => source)], options);
    if (all.config !== null) return {...all, inFiles, refused};
    // Rare: which of them are wrong?
    for (const {name, source} of candidates) {
      const next = await loadSources([...accepted, source], options);
      if (next.config === null)
        refused.set(
          name,
          next.diagnostics.filter(({level}) => level === 'alert'),
        );
      else {
        accepted.push(source);
        valid = next;
      }
    }
  }
  return {config: valid.config, diagnostics: valid.diagnostics, inFiles, refused};
}
