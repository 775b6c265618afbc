/** Whether an app is ready for its clients: asked of the app itself, in its own network, so that no packet of it is traffic. */
import {request} from 'node:http';
import {Socket} from 'node:net';
import type {AppConfig, StatusRange} from '../config/value.ts';
import {CodedError, errorMessage} from '../core/errors.ts';
import {socket as newSocket, socketType} from '../core/libc.ts';
import {withinNetns} from '../core/netns.ts';
import {describeExit, type ExitStatus} from './exit-status.ts';
import {readPortUse} from './ports.ts';

/** A server that starts is looked at this often; reading /proc costs some tens of microseconds, a request more. */
const pollMs = {ports: 3, http: 20} as const;
/** The answer is read to its end, so that no connection is left of it, but no longer than this. */
const answerMs = 1000;
const addressFamilyInet = 2;

export interface ReadyOptions {
  readonly app: AppConfig;
  readonly network: {readonly address: string; readonly netnsPath: string};
  readonly pid: number;
  readonly verb: 'start' | 'restore';
  /** Has a callback called when the app has ended; returns what ends that. */
  readonly onExit: (callback: (status: ExitStatus) => void) => () => void;
}

/**
 * Resolves when the app is ready, as its `ready` says.
 * @throws CodedError ERR_NOT_READY when that takes longer than `timeout ready`, or the app ends
 */
export async function waitUntilReady(options: ReadyOptions): Promise<void> {
  const {app, verb, onExit} = options;
  if (app.ready.kind === 'none') return;
  const ended = new AbortController();
  let exit: ExitStatus | undefined;
  const stopListening = onExit((status) => {
    exit = status;
    ended.abort();
  });
  const notReady = (found: string): CodedError => new CodedError('ERR_NOT_READY', `Cannot ${verb} app "${app.name}": ${found}`, {source: 'server'});
  const deadline = performance.now() + app.readyTimeoutMs;
  const given = AbortSignal.any([ended.signal, AbortSignal.timeout(app.readyTimeoutMs)]);
  let missing: string | undefined;
  try {
    for (;;) {
      const found = await missingOf(options, given);
      if (found === null) return;
      // What was broken off says less than the attempt before it.
      missing = given.aborted ? (missing ?? found) : found;
      if (exit !== undefined) throw notReady(`it ${describeExit(exit)} before it was ready: ${missing}`);
      if (performance.now() > deadline) throw notReady(`${missing} after ${app.readyTimeoutMs} ms`);
      await new Promise((resolve) => setTimeout(resolve, app.ready.kind === 'http' ? pollMs.http : pollMs.ports));
    }
  } finally {
    stopListening();
  }
}

/** What the app lacks, as a sentence without its end; null: nothing. */
async function missingOf({app, network, pid}: ReadyOptions, signal: AbortSignal): Promise<string | null> {
  const {ready} = app;
  switch (ready.kind) {
    case 'none':
      return null;
    case 'exposed':
      return missingPorts(pid, app.expose);
    case 'tcp':
      return missingPorts(
        pid,
        ready.ports.map((port) => ({protocol: 'tcp', port})),
      );
    case 'http':
      return missingAnswer(network, ready, signal);
    default:
      return ready satisfies never;
  }
}

async function missingPorts(pid: number, wanted: AppConfig['expose']): Promise<string | null> {
  const use = await readPortUse(pid);
  const missing = wanted.filter(({protocol, port}) => !use[protocol].has(port));
  return missing.length === 0 ? null : `nothing listens on ${missing.map(({protocol, port}) => `${protocol} ${port}`).join(', ')}`;
}

interface HttpTest {
  readonly path: string;
  readonly port: number;
  readonly statuses: readonly StatusRange[];
}

async function missingAnswer(network: ReadyOptions['network'], {path, port, statuses}: HttpTest, signal: AbortSignal): Promise<string | null> {
  const what = `GET ${path} on port ${port}`;
  try {
    const status = await statusOf(network, {path, port}, signal);
    return statuses.some(({low, high}) => status >= low && status <= high) ? null : `${what} is answered with ${status}`;
  } catch (error) {
    return `${what} is not answered (${errorMessage(error)})`;
  }
}

/** Asks from within the app's namespace, to which no route leads from here while the app is not ready. */
async function statusOf({address, netnsPath}: ReadyOptions['network'], {path, port}: Omit<HttpTest, 'statuses'>, signal: AbortSignal): Promise<number> {
  const {promise, resolve, reject} = Promise.withResolvers<number>();
  const fd = withinNetns(netnsPath, () => newSocket(addressFamilyInet, socketType.stream | socketType.closeOnExec, 0));
  const createConnection = (): Socket => new Socket({fd}).connect(port, address);
  const headers = {host: `${address}:${port}`, 'user-agent': 'picogate', connection: 'close'};
  const asked = request({createConnection, path, headers, signal}, (response) => {
    const timer = setTimeout(() => response.destroy(), answerMs);
    response.on('error', () => {
      // The head counts.
    });
    response.once('close', () => {
      clearTimeout(timer);
      resolve(response.statusCode ?? 0);
    });
    response.resume();
  });
  asked.once('error', reject);
  asked.end();
  return promise;
}
