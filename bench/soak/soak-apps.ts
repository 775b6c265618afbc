/** The configuration: five real servers, reached in every way that leads to an app; a reload takes one of them away, and brings it back. */
import {freePort} from '../../test/helpers/gateway.ts';
import {rootfsWith} from '../../test/helpers/rootfs.ts';

/** Those that write down what they are told. `notes` is a Python that sleeps by itself, `journal` one that sleeps when it is told, `cache` is a Redis. */
export const writers = ['notes', 'journal', 'cache'] as const;
export type Writer = (typeof writers)[number];

/** All that are always there; `site` is an nginx. */
export const lastingApps = [...writers, 'site'] as const;
/** A reload takes it away. */
export const passingApp = 'passing';

export interface SoakPorts {
  /** Lines of text through `mode tcp`. */
  readonly tcp: Readonly<Record<Writer | typeof passingApp, number>>;
  readonly http: Readonly<Record<'notes' | 'site', number>>;
  readonly nat: Readonly<Record<'notes' | 'site', number>>;
}

export interface SoakFiles {
  readonly python: string;
  readonly redis: string;
  readonly nginx: string;
  /** Has durable-server.py and nginx.conf. */
  readonly programs: string;
}

export async function soakPorts(): Promise<SoakPorts> {
  const port = freePort;
  return {
    tcp: {notes: await port(), journal: await port(), cache: await port(), passing: await port()},
    http: {notes: await port(), site: await port()},
    nat: {notes: await port(), site: await port()},
  };
}

export async function soakRoots(): Promise<Omit<SoakFiles, 'programs'>> {
  return {python: await rootfsWith('python3'), redis: await rootfsWith('redis-server'), nginx: await rootfsWith('nginx-light')};
}

interface Configuration {
  readonly stateDir: string;
  readonly files: SoakFiles;
  readonly ports: SoakPorts;
  readonly hasPassing: boolean;
}

export function renderConfiguration({stateDir, files, ports, hasPassing}: Configuration): string {
  const {tcp, http, nat} = ports;
  return `global
    state-dir ${stateDir}
    dynamic-apps
defaults
    mode tcp
    timeout connect 5s
    timeout client 1h
    timeout server 1h
    timeout wake 60s
${pythonApp('notes', files, '1s')}${pythonApp('journal', files, 'never')}app cache
    rootfs ${files.redis}
    exec /usr/bin/redis-server --port 6379 --bind 0.0.0.0 --save "" --appendonly yes --appendfsync always --protected-mode no --dir /var/lib/redis
    expose tcp 6379
    hibernate-after 2s
app site
    rootfs ${files.nginx}
    exec /usr/sbin/nginx -c /srv/nginx.conf
    volume ${files.programs}:/srv:ro
    expose tcp 80
    hibernate-after 1s
${hasPassing ? `${pythonApp(passingApp, files, '1s')}${way(passingApp, 'tcp', tcp.passing)}` : ''}
${writers.map((name) => way(name, 'tcp', tcp[name])).join('')}${way('notes', 'http', http.notes)}${way('site', 'http', http.site)}
${way('notes', 'nat', nat.notes)}${way('site', 'nat', nat.site)}`;
}

/** The section of one that writes down what it is told. */
export function pythonApp(name: string, {python: rootfs, programs}: SoakFiles, hibernateAfter: string): string {
  return `app ${name}
    rootfs ${rootfs}
    exec /usr/bin/python3 /srv/durable-server.py 80 2
    volume ${programs}:/srv:ro
    expose tcp 80
    hibernate-after ${hibernateAfter}
`;
}

/** A port that leads to an app. */
function way(app: string, mode: 'tcp' | 'http' | 'nat', port: number): string {
  return `frontend ${app}-${mode}
    mode ${mode}
    bind 127.0.0.1:${port}
    default_backend ${app}-${mode}
backend ${app}-${mode}
    mode ${mode}
    server s app:${app}:${app === 'cache' ? 6379 : 80}
`;
}
