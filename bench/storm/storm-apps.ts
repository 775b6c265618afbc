/** The configuration: sleeping servers with a port each, and one nginx that stays awake behind each kind of frontend. */
import {fileURLToPath} from 'node:url';
import {freePort} from '../../test/helpers/gateway.ts';
import {rootfsWith} from '../../test/helpers/rootfs.ts';

const appPort = 80;
/** Requests that wait have a connection each. */
const web = fileURLToPath(new URL('./web', import.meta.url));

export interface StormApp {
  readonly name: string;
  readonly port: number;
  readonly memoryMiB: number;
}

export const awakeApp = 'awake';
export const frontendModes = ['nat', 'tcp', 'http'] as const;
export type FrontendMode = (typeof frontendModes)[number];

export interface StormPlan {
  readonly apps: readonly StormApp[];
  /** Of the frontends of the app that stays awake. */
  readonly awakePorts: Readonly<Record<FrontendMode, number>>;
  readonly configure: (programs: string) => string;
}

/** @param sizesMiB of each sleeping server */
export async function planStorm(sizesMiB: readonly number[]): Promise<StormPlan> {
  const apps: StormApp[] = [];
  for (const memoryMiB of sizesMiB) apps.push({name: `app-${apps.length}`, port: await freePort(), memoryMiB});
  const awakePorts = {nat: await freePort(), tcp: await freePort(), http: await freePort()};
  const [python, nginx] = [await rootfsWith('python3'), await rootfsWith('nginx-light')];
  return {
    apps,
    awakePorts,
    configure: (programs) => [...apps.map((app) => renderApp(app, {python, programs})), renderAwake(awakePorts, nginx)].join(''),
  };
}

function renderApp({name, port, memoryMiB}: StormApp, {python, programs}: {readonly python: string; readonly programs: string}): string {
  return `app ${name}
    rootfs ${python}
    exec /usr/bin/python3 /srv/memory-server.py ${appPort} ${memoryMiB}
    volume ${programs}:/srv:ro
    expose tcp ${appPort}
frontend ${name}
    bind 127.0.0.1:${port}
    default_backend ${name}
backend ${name}
    server s app:${name}:${appPort}
`;
}

function renderAwake(ports: StormPlan['awakePorts'], nginx: string): string {
  const frontends = frontendModes.map((mode) => {
    const backend = mode === 'http' ? `${awakeApp}-http` : awakeApp;
    return `frontend ${awakeApp}-to-${mode}\n    mode ${mode}\n    bind 127.0.0.1:${ports[mode]}\n    default_backend ${backend}\n`;
  });
  return `app ${awakeApp}
    rootfs ${nginx}
    exec /usr/sbin/nginx -c /srv/nginx.conf
    volume ${web}:/srv:ro
    expose tcp ${appPort}
${frontends.join('')}backend ${awakeApp}
    server s app:${awakeApp}:${appPort}
backend ${awakeApp}-http
    mode http
    server s app:${awakeApp}:${appPort}
`;
}
