/** What `mode udp` is measured against: the stream module of nginx, with one worker. */
import {access, mkdtemp, rm, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {startDaemon} from '../../src/core/command.ts';
import {type ProcessMemory, treeMemory} from '../process-tree.ts';

export const streamModule = '/usr/lib/nginx/modules/ngx_stream_module.so';

export interface NginxStream extends AsyncDisposable {
  memory(): Promise<ProcessMemory[]>;
}

/** @throws Error when the module is not installed */
export async function startNginxStream(ports: {readonly listen: number; readonly server: number}): Promise<NginxStream> {
  await access(streamModule).catch(() => {
    throw new Error(`no ${streamModule}: the suite needs Debian's libnginx-mod-stream`);
  });
  await using scope = new AsyncDisposableStack();
  const directory = await mkdtemp(join(tmpdir(), 'picogate-nginx-'));
  scope.defer(() => rm(directory, {recursive: true, force: true}));
  const file = join(directory, 'nginx.conf');
  await writeFile(
    file,
    `load_module ${streamModule};
daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
pid ${directory}/nginx.pid;
error_log stderr crit;
events { worker_connections 20000; }
stream {
  server {
    listen 127.0.0.1:${ports.listen} udp;
    proxy_pass 127.0.0.1:${ports.server};
    proxy_timeout 1m;
    access_log off;
  }
}
`,
  );
  const daemon = scope.use(await startDaemon(['nginx', '-c', file, '-e', 'stderr'], {stdio: ['ignore', 'ignore', 'pipe'], stopSignal: 'SIGTERM'}));
  const owned = scope.move();
  return {memory: () => treeMemory(daemon.pid), [Symbol.asyncDispose]: () => owned.disposeAsync()};
}
