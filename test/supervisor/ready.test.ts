import type {AppConfig} from '../../src/config/value.ts';
import {waitUntilReady} from '../../src/supervisor/ready.ts';
import {rootTest} from '../helpers/root-test.ts';
import {appConfig, type ContainerLab, containerLab} from './container-lab.ts';

/** Listens on port 7000 after some time, and answers each request of HTTP with 503 and then 204. */
const lateServer = `
import time, socketserver
time.sleep(0.3)
asked = 0
class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        global asked
        asked += 1
        self.rfile.readline()
        self.wfile.write(b"HTTP/1.1 503 No\\r\\n\\r\\n" if asked < 3 else b"HTTP/1.1 204 Yes\\r\\n\\r\\n")
socketserver.ThreadingTCPServer(("0.0.0.0", 7000), Handler).serve_forever()`;

type Settings = Pick<AppConfig, 'ready'> & Partial<AppConfig>;

/** Starts a program and waits until it is ready. @returns how long that took, milliseconds */
async function readyAfter(lab: ContainerLab, program: string, settings: Settings): Promise<number> {
  const container = await lab.container({exec: ['/usr/bin/python3', '-c', program], ...settings});
  const {pid} = await container.start([], 'one');
  const startedMs = performance.now();
  await waitUntilReady({app: appConfig(settings), network: lab, pid, verb: 'start', onExit: (callback) => container.onExit(callback)});
  return performance.now() - startedMs;
}

const ports: AppConfig['expose'] = [{protocol: 'tcp', port: 7000}];
const http = {kind: 'http', path: '/health', port: 7000} as const;

rootTest('an app is ready at once, when something listens, or when it answers as is wanted', async (t) => {
  const started = async (settings: Settings): Promise<number> => {
    await using lab = await containerLab();
    return await readyAfter(lab, lateServer, settings);
  };
  t.true((await started({ready: {kind: 'none'}, expose: ports})) < 100);
  t.true((await started({ready: {kind: 'exposed'}, expose: ports})) > 100);
  t.true((await started({ready: {kind: 'tcp', ports: [7000]}})) > 100);
  t.true((await started({ready: {...http, statuses: [{low: 200, high: 399}]}})) > 100);
  t.true((await started({ready: {...http, statuses: [{low: 503, high: 503}]}})) > 100);
});

for (const [what, program, settings, message] of [
  [
    'a port is not listened on',
    lateServer,
    {ready: {kind: 'tcp', ports: [7000, 7001]}, readyTimeoutMs: 600},
    'Cannot start app "app": nothing listens on tcp 7001 after 600 ms',
  ],
  [
    'the answer is another one',
    lateServer,
    {ready: {...http, statuses: [{low: 200, high: 203}]}, readyTimeoutMs: 1500},
    'Cannot start app "app": GET /health on port 7000 is answered with 204 after 1500 ms',
  ],
  [
    'nobody answers',
    'import socket, time\ns = socket.create_server(("0.0.0.0", 7000))\ntime.sleep(3600)',
    {ready: {...http, statuses: []}, readyTimeoutMs: 600},
    /^Cannot start app "app": GET \/health on port 7000 is not answered \(.*\) after 600 ms$/,
  ],
  [
    'the app ends',
    'import time\ntime.sleep(0.4)\nexit(3)',
    {ready: {...http, statuses: []}},
    /^Cannot start app "app": it ended with status 3 before it was ready: GET \/health on port 7000 is not answered \(connect ECONNREFUSED .*\)$/,
  ],
] as const) {
  rootTest(`an app is not ready when ${what}`, async (t) => {
    await using lab = await containerLab();
    await t.throwsAsync(readyAfter(lab, program, settings), {code: 'ERR_NOT_READY', message});
  });
}
