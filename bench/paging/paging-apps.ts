/** The apps of the suite and their configuration: one app per way of paging, so that none learns from what another did. */
import type {Content} from './selection.ts';

export const modes = ['whole image', 'on demand', 'read ahead', 'last run', 'predicted'] as const;
export type Mode = (typeof modes)[number];

const paging = {
  'whole image': ['paging eager'],
  'on demand': ['paging lazy', 'prefetch off', 'read-ahead off'],
  'read ahead': ['paging lazy', 'prefetch off'],
  'last run': ['paging lazy', 'prefetch last'],
  predicted: ['paging lazy', 'prefetch predict'],
} as const satisfies Record<Mode, readonly string[]>;

/** What an app has touched decides what is installed at its next wake. */
export function learns(mode: Mode): boolean {
  return mode === 'last run' || mode === 'predicted';
}

const appPort = 80;

export interface PagingApp {
  readonly name: string;
  readonly mode: Mode;
  readonly content: Content;
  readonly sizeMiB: number;
  /** Of a frontend on 127.0.0.1. */
  readonly port: number;
}

/** @param python a root file system with Python; `programs` has memory-server.py */
export function renderApps(apps: readonly PagingApp[], {python, programs}: {readonly python: string; readonly programs: string}): string {
  const sections = apps.map(
    ({name, mode, content, sizeMiB, port}) => `app ${name}
    rootfs ${python}
    exec /usr/bin/python3 /srv/memory-server.py ${appPort} ${sizeMiB} ${content}
    volume ${programs}:/srv:ro
    expose tcp ${appPort}
${paging[mode].map((line) => `    ${line}\n`).join('')}frontend ${name}
    bind 127.0.0.1:${port}
    default_backend ${name}
backend ${name}
    server s app:${name}:${appPort}
`,
  );
  return sections.join('\n');
}
