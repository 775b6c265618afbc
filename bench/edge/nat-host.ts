/**
 * A host with a gateway, and nginx as an app that stays awake, behind `mode nat` and behind HAProxy. All of them are on the core of what is measured, the app
 * too, since it is on the same host as whoever leads to it; the clients have the other core to themselves.
 */
import {mkdir, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import {freePort} from '../../test/helpers/gateway.ts';
import {rootfsWith} from '../../test/helpers/rootfs.ts';
import {startBenchGateway} from '../bench-gateway.ts';
import {httpQuestion, timedAnswer} from '../client.ts';
import type {Comparison} from './comparison.ts';
import {onMeasuredCore} from './cores.ts';
import {type Contender, originConfiguration, startHaproxy, writeHoles} from './programs.ts';

const appName = 'web';
const appPort = 80;
const startTimeoutMs = 60_000;

export const natHost: Comparison['start'] = async (scope, {directory, signal}) => {
  const volume = join(directory, 'app');
  await mkdir(volume);
  await writeHoles(volume);
  await writeFile(join(volume, 'nginx.conf'), originConfiguration({listen: String(appPort), temporary: '/tmp', root: '/srv'}));
  const rootfs = await rootfsWith('nginx-light');
  const port = await freePort();
  const gateway = scope.use(await startBenchGateway({signal, startedBy: onMeasuredCore, configure: () => configuration({rootfs, volume, port})}));
  await timedAnswer(port, httpQuestion, startTimeoutMs);
  const host = await gateway.address(appName);
  const haproxy = scope.use(await startHaproxy({directory, origin: `${host}:${appPort}`, echo: null}));
  const at = (address: {readonly host: string; readonly port: number}, name: string): Contender => ({
    name,
    pid: null,
    at: {nat: {...address, tls: false}},
    [Symbol.asyncDispose]: () => Promise.resolve(),
  });
  const {tcp} = haproxy.at;
  return {
    contenders: [at({host: '127.0.0.1', port}, 'Picogate'), {...haproxy, at: {...(tcp !== undefined && {nat: tcp})}}, at({host, port: appPort}, 'direct')],
    echo: null,
  };
};

function configuration({rootfs, volume, port}: {readonly rootfs: string; readonly volume: string; readonly port: number}): string {
  return `app ${appName}
    rootfs ${rootfs}
    exec /usr/sbin/nginx -c /srv/nginx.conf
    volume ${volume}:/srv:ro
    expose tcp ${appPort}
frontend nat
    mode nat
    bind 127.0.0.1:${port}
    default_backend ${appName}
backend ${appName}
    server s app:${appName}:${appPort}
`;
}
