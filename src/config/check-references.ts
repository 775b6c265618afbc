/** Names that lines give to what other sections must declare. */
import type {BackendDraft} from './build-backend.ts';
import type {FrontendDraft} from './build-frontend.ts';
import type {Diagnostic} from './diagnostic.ts';
import type {Reference} from './scope.ts';
import type {Section} from './section.ts';
import {didYouMean} from './suggestion.ts';

export interface Named {
  readonly sections: readonly Section[];
  readonly frontends: readonly FrontendDraft[];
  readonly backends: ReadonlyMap<string, BackendDraft>;
}

/** Reports what is named and is not there. */
export function checkReferences(named: Named, report: (diagnostic: Diagnostic) => void): void {
  const names = namesOf(named);
  for (const section of named.sections) {
    for (const reference of section.scope.references) {
      const message = problemWith(reference, section, {...named, names});
      if (message !== null) report({level: 'alert', position: reference.position, word: reference.name, message});
    }
  }
}

type SimpleKind = 'backend' | 'frontend' | 'table' | 'userlist' | 'resolvers' | 'http-errors' | 'peers';

function namesOf({sections}: Named): Readonly<Record<SimpleKind, ReadonlySet<string>>> {
  const of = (...kinds: readonly string[]): ReadonlySet<string> => new Set(sections.filter(({kind}) => kinds.includes(kind)).map(({name}) => name));
  const withTable = sections.filter(({settings}) => settings.some(({name}) => name === 'stick-table'));
  return {
    backend: of('backend', 'listen'),
    frontend: of('frontend', 'listen'),
    table: new Set(withTable.map(({name}) => name)),
    userlist: of('userlist'),
    resolvers: of('resolvers'),
    'http-errors': of('http-errors'),
    peers: of('peers'),
  };
}

function problemWith({kind, name}: Reference, section: Section, named: Named & {names: ReturnType<typeof namesOf>}): string | null {
  if (kind === 'server') return problemWithServer(name, section, named);
  const known = named.names[kind];
  if (kind === 'table' && name === '') {
    if (section.kind === 'defaults' || known.has(section.name)) return null;
    return `${section.kind} '${section.name}' has no 'stick-table'; name one with 'table <name>'`;
  }
  if (known.has(name)) return null;
  const what = {backend: 'backend', frontend: 'frontend', table: 'stick-table', userlist: 'userlist', resolvers: 'resolvers section'};
  const shown = kind === 'http-errors' || kind === 'peers' ? `${kind} section` : what[kind];
  return `unknown ${shown} '${name}'${didYouMean(name, known)}`;
}

/** `server`, of the section itself, or `backend/server`. */
function problemWithServer(name: string, section: Section, {backends}: Named): string | null {
  const slash = name.indexOf('/');
  const backendName = slash < 0 ? section.name : name.slice(0, slash);
  const backend = backends.get(backendName);
  if (backend === undefined) {
    if (section.kind === 'defaults' && slash < 0) return null;
    return slash < 0
      ? `'${name}': ${section.kind} '${section.name}' has no servers`
      : `unknown backend '${backendName}'${didYouMean(backendName, backends.keys())}`;
  }
  const server = name.slice(slash + 1);
  if (backend.section.failed.has('server')) return null;
  const servers = backend.value.servers.map((known) => known.name);
  return servers.includes(server) ? null : `unknown server '${server}' of backend '${backendName}'${didYouMean(server, servers)}`;
}
