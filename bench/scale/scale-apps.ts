/** The configuration: many apps that share one root, with a backend each, behind one frontend; the first ones have a port of their own too. */

const appPort = 80;
export const memoryMiB = 1;

export interface ScaleConfiguration {
  readonly stateDir: string;
  /** A root file system with Python. */
  readonly python: string;
  /** Has memory-server.py. */
  readonly programs: string;
  readonly count: number;
  readonly frontendPort: number;
  /** Of the first apps, one each. */
  readonly ports: readonly number[];
  readonly hibernateAfter: string;
}

/** From 0. */
export function appAt(index: number): string {
  return `app-${index}`;
}

export function renderConfiguration({stateDir, python, programs, count, frontendPort, ports, hibernateAfter}: ScaleConfiguration): string {
  const apps = Array.from({length: count}, (_, index) => renderApp(appAt(index), {python, programs}));
  const own = ports.map((port, index) => `frontend own-${index}\n    bind 127.0.0.1:${port}\n    default_backend ${appAt(index)}\n`);
  return `global
    state-dir ${stateDir}
defaults
    mode tcp
    timeout connect 5s
    timeout client 1h
    timeout server 1h
    timeout wake 2m
    hibernate-after ${hibernateAfter}
frontend all
    mode http
    bind 127.0.0.1:${frontendPort}
    http-request deny unless { req.hdr(host) -m found }
${own.join('')}${apps.join('')}`;
}

function renderApp(name: string, {python, programs}: {readonly python: string; readonly programs: string}): string {
  return `app ${name}
    rootfs ${python}
    exec /usr/bin/python3 /srv/memory-server.py ${appPort} ${memoryMiB}
    volume ${programs}:/srv:ro
    expose tcp ${appPort}
backend ${name}
    server s app:${name}:${appPort}
`;
}
