/** Real servers of three kinds, many of each, with a port each. */
import {freePort} from '../../test/helpers/gateway.ts';
import {rootfsWith} from '../../test/helpers/rootfs.ts';
import {httpQuestion, lineQuestion, type Question} from '../client.ts';

const appPort = 80;
const pythonMiB = 16;

export const kinds = ['nginx', 'redis', 'Python, 16 MB'] as const;
export type Kind = (typeof kinds)[number];

const programs = {
  nginx: {packages: 'nginx-light', exec: '/usr/sbin/nginx -c /srv/nginx.conf'},
  redis: {packages: 'redis-server', exec: `/usr/bin/redis-server --port ${appPort} --bind 0.0.0.0 --protected-mode no --save "" --dir /tmp`},
  'Python, 16 MB': {packages: 'python3', exec: `/usr/bin/python3 /srv/memory-server.py ${appPort} ${pythonMiB}`},
} as const satisfies Record<Kind, {readonly packages: string; readonly exec: string}>;

const questions: Readonly<Record<Kind, Question>> = {nginx: httpQuestion, redis: lineQuestion('PING'), 'Python, 16 MB': lineQuestion('count')};

export interface DensityApp {
  readonly name: string;
  readonly port: number;
  readonly question: Question;
}

export interface DensityPlan {
  readonly apps: readonly DensityApp[];
  readonly configure: (programs: string) => string;
}

export async function planDensity(kind: Kind, count: number): Promise<DensityPlan> {
  const {packages, exec} = programs[kind];
  const rootfs = await rootfsWith(packages);
  const apps: DensityApp[] = [];
  for (let number = 1; number <= count; number++) apps.push({name: `app-${number}`, port: await freePort(), question: questions[kind]});
  const render = ({name, port}: DensityApp, directory: string): string => `app ${name}
    rootfs ${rootfs}
    exec ${exec}
    volume ${directory}:/srv:ro
    expose tcp ${appPort}
frontend ${name}
    bind 127.0.0.1:${port}
    default_backend ${name}
backend ${name}
    server s app:${name}:${appPort}
`;
  return {apps, configure: (directory) => apps.map((app) => render(app, directory)).join('')};
}
