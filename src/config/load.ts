/** Files to one frozen value, or to all that is wrong with them. */
import {readdir, readFile, stat} from 'node:fs/promises';
import {join} from 'node:path';
import {errorCode, errorMessage} from '../core/errors.ts';
import {type AppDraft, buildApp} from './build-app.ts';
import {type BackendDraft, buildBackend} from './build-backend.ts';
import type {BuildContext} from './build-base.ts';
import {buildFrontend} from './build-frontend.ts';
import {buildGlobal} from './build-global.ts';
import {buildResolvers, buildUserlist, errorPagesOf} from './build-sections.ts';
import {checkDrafts, checkNames} from './check.ts';
import type {Diagnostic} from './diagnostic.ts';
import {hostFiles} from './host-files.ts';
import type {SectionKind} from './keyword.ts';
import type {Environment} from './lex.ts';
import {parseFiles, type SourceFile} from './parse.ts';
import {type HostFiles, noFiles} from './scope.ts';
import type {Section} from './section.ts';
import {type Lookup, unresolvedServers} from './server-names.ts';
import {shareEqual} from './share-equal.ts';
import {warnOfKept} from './thread-spread.ts';
import type {Config} from './value.ts';

export interface LoadResult {
  /** What was read. */
  readonly sources: readonly SourceFile[];
  /** Null when a diagnostic is an alert. */
  readonly config: Config | null;
  /** In the order of the files and lines. */
  readonly diagnostics: readonly Diagnostic[];
}

export interface LoadOptions {
  readonly env: Environment;
  readonly missingPath?: Diagnostic['level'];
  readonly lookup?: Lookup | null;
}

/**
 * Reads and checks a configuration.
 * @param paths files, or directories of which every `*.cfg` is read in the order of names; all together are one configuration
 * @param options.env what `"$VAR"` stands for
 * @param options.lookup finds out whether the name of a server has an address; null: names are not looked up
 * @param options.missingPath what a rootfs or volume is that does not exist: an alert (default), or a warning, so that one app does not
 *   keep the others from running
 */
export async function loadConfig(paths: readonly string[], options: LoadOptions): Promise<LoadResult> {
  const unread: Diagnostic[] = [];
  const files = await readFiles(paths, (diagnostic) => unread.push(diagnostic));
  return loadSources(files, options, unread);
}

/** The same of what was read already. @param unread what could not be read, which makes all of it invalid */
export async function loadSources(files: readonly SourceFile[], options: LoadOptions, unread: readonly Diagnostic[] = []): Promise<LoadResult> {
  const diagnostics: Diagnostic[] = [...unread];
  const checked = checkFiles(files, options.env, hostFiles);
  diagnostics.push(...checked.diagnostics, ...(await missingPaths(checked.apps, options.missingPath ?? 'alert')));
  const {lookup = null} = options;
  if (lookup !== null) diagnostics.push(...(await unresolvedServers(checked.backends, lookup)));
  const sorted = inOrder(diagnostics, files);
  const {config} = checked;
  if (unread.length > 0 || config === null || sorted.some(({level}) => level === 'alert')) return {config: null, diagnostics: sorted, sources: files};
  for (const sections of [config.apps, config.backends, config.frontends]) shareEqual(sections);
  return {config: deepFreeze({...config, warnings: sorted}), diagnostics: sorted, sources: files};
}

export interface Checked {
  readonly config: Config | null;
  readonly apps: readonly AppDraft[];
  readonly backends: readonly BackendDraft[];
  readonly diagnostics: readonly Diagnostic[];
}

/**
 * All but what takes time to look up: a pure function of the text and of the files that it names.
 * @param host where those files are; by default there are none
 */
export function checkFiles(files: readonly SourceFile[], env: Environment, host: HostFiles = noFiles): Checked {
  const diagnostics: Diagnostic[] = [];
  const report = (diagnostic: Diagnostic): void => void diagnostics.push(diagnostic);
  const {sections} = parseFiles(files, {env, host, report});
  checkNames(sections, report);
  const of = (...kinds: readonly SectionKind[]): readonly Section[] => sections.filter(({kind}) => kinds.includes(kind));
  const {value: global, environment, tls, unixBind} = buildGlobal(of('global'), report);
  const apps = of('app').flatMap((section) => buildApp(section, report) ?? []);
  const appsByName = firstByName(apps);
  const context: BuildContext = {global, errorPages: new Map(of('http-errors').map((section) => [section.name, errorPagesOf(section)])), report};
  const backends = of('backend', 'listen').map((section) => buildBackend(section, {...context, tls, apps: appsByName}));
  const frontends = of('frontend', 'listen').map((section) => buildFrontend(section, {...context, tls, unixBind}));
  const userlists = of('userlist').map((section) => buildUserlist(section, report));
  const resolvers = of('resolvers').map(buildResolvers);
  checkDrafts({sections, apps: appsByName, frontends, backends: firstByName(backends)}, report);
  const [first] = files;
  const refused = diagnostics.some(({level}) => level === 'alert');
  if (first !== undefined && !refused && apps.length === 0 && frontends.length === 0 && global.process.statsSockets.length === 0 && !global.dynamicApps) {
    report({level: 'alert', position: {file: first.path, line: 1, column: 1}, message: 'no app, frontend or listen section, nothing to do'});
  }
  if (first === undefined || diagnostics.some(({level}) => level === 'alert')) return {config: null, apps, backends, diagnostics};
  const config: Config = {
    files: files.map(({path}) => path),
    global,
    apps: apps.map(({value}) => value),
    frontends: frontends.map(({value}) => value),
    backends: backends.map(({value}) => value),
    userlists,
    resolvers,
    environment,
    warnings: diagnostics,
  };
  warnOfKept(config, report);
  return {config, apps, backends, diagnostics};
}

function firstByName<Draft extends {readonly value: {readonly name: string}}>(drafts: readonly Draft[]): ReadonlyMap<string, Draft> {
  return new Map(drafts.toReversed().map((draft) => [draft.value.name, draft]));
}

async function readFiles(paths: readonly string[], report: (diagnostic: Diagnostic) => void): Promise<readonly SourceFile[]> {
  const files: SourceFile[] = [];
  for (const path of paths) {
    const alert = (message: string): void => report({level: 'alert', position: {file: path, line: 1, column: 1}, word: path, message});
    try {
      const isDirectory = (await stat(path)).isDirectory();
      const names = isDirectory ? await configurationNames(path) : [path];
      if (names.length === 0) alert(`Cannot use directory "${path}": it holds no file that ends in .cfg`);
      for (const name of names) files.push({path: name, text: await readFile(name, 'utf8')});
    } catch (error) {
      alert(`Cannot read configuration "${path}": ${errorCode(error) === 'ENOENT' ? 'no such file or directory' : errorMessage(error)}`);
    }
  }
  return files;
}

async function configurationNames(directory: string): Promise<readonly string[]> {
  const names = await readdir(directory);
  return names
    .filter((name) => name.endsWith('.cfg') && !name.startsWith('.'))
    .sort()
    .map((name) => join(directory, name));
}

async function missingPaths(apps: readonly AppDraft[], level: Diagnostic['level']): Promise<readonly Diagnostic[]> {
  // Thousands of apps may name the same one.
  const looked = new Map<string, Promise<boolean>>();
  const isDirectoryAt = async (path: string): Promise<boolean> => (await stat(path)).isDirectory();
  const found = await Promise.all(
    apps
      .flatMap(({paths}) => paths)
      .map(async ({path, keyword, position}): Promise<Diagnostic | null> => {
        try {
          const looking = looked.get(path) ?? isDirectoryAt(path);
          looked.set(path, looking);
          const isDirectory = await looking;
          if (isDirectory || keyword === 'volume') return null;
          return {level, position, word: path, message: `${keyword} '${path}' is not a directory`};
        } catch (error) {
          const reason = errorCode(error) === 'ENOENT' ? 'does not exist' : `cannot be used: ${errorMessage(error)}`;
          return {level, position, word: path, message: `${keyword} '${path}' ${reason}`};
        }
      }),
  );
  return found.filter((diagnostic) => diagnostic !== null);
}

function inOrder(diagnostics: readonly Diagnostic[], files: readonly SourceFile[]): readonly Diagnostic[] {
  const fileNumbers = new Map(files.map(({path}, index) => [path, index]));
  const numberOf = ({position}: Diagnostic): number => fileNumbers.get(position.file) ?? -1;
  return diagnostics.toSorted((a, b) => numberOf(a) - numberOf(b) || a.position.line - b.position.line);
}

function deepFreeze<Value>(value: Value): Value {
  // Bytes cannot be frozen.
  if (typeof value === 'object' && value !== null && !ArrayBuffer.isView(value) && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const part of Object.values(value)) deepFreeze(part);
  }
  return value;
}
