/** The apps of the suite and their configuration: one app per way of paging, so that none learns from what another did. */

const memoryMiB = 64;
const memoryPort = 80;

export type Mode = 'eager' | 'on demand' | 'predicted';
export const modes: readonly Mode[] = ['eager', 'on demand', 'predicted'];

const paging = {
  eager: 'paging eager',
  'on demand': 'paging lazy\n    prefetch off',
  predicted: 'paging lazy\n    prefetch predict',
} as const satisfies Record<Mode, string>;

export interface BenchApp {
  readonly name: string;
  readonly kind: 'memory' | 'nginx';
  readonly mode: Mode;
  /** Of a `mode tcp` frontend on 127.0.0.1. */
  readonly port: number;
  /** Of a `mode nat` frontend. */
  readonly natPort?: number;
}

export interface Files {
  readonly python: string;
  readonly nginx: string;
  /** Has memory-server.py and nginx.conf. */
  readonly programs: string;
}

export function renderApps(apps: readonly BenchApp[], files: Files): string {
  return apps.map((app) => renderApp(app, files)).join('\n');
}

function renderApp({name, kind, mode, port, natPort}: BenchApp, {python, nginx, programs}: Files): string {
  const program =
    kind === 'memory'
      ? `rootfs ${python}\n    exec /usr/bin/python3 /srv/memory-server.py ${memoryPort} ${memoryMiB}`
      : `rootfs ${nginx}\n    exec /usr/sbin/nginx -c /srv/nginx.conf`;
  const nat = natPort === undefined ? '' : `frontend ${name}-nat\n    mode nat\n    bind 127.0.0.1:${natPort}\n    default_backend ${name}\n`;
  return `app ${name}
    ${program}
    volume ${programs}:/srv:ro
    expose tcp ${memoryPort}
    ${paging[mode]}
frontend ${name}
    bind 127.0.0.1:${port}
    default_backend ${name}
${nat}backend ${name}
    server s app:${name}:${memoryPort}
`;
}
