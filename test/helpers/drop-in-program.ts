/** The program as HAProxy is started: `picogate -db -f FILE ...`, without apps and without what apps need. */
import {once} from 'node:events';
import {mkdtemp, readFile, rm, writeFile} from 'node:fs/promises';
import {connect} from 'node:net';
import {join} from 'node:path';
import type {ExecutionContext} from 'ava';
import {type Daemon, startDaemon} from '../../src/core/command.ts';
import {askSocket} from '../admin/stats-client.ts';
import {programPath} from './gateway.ts';
import {until} from './until.ts';

export interface DropInProgram {
  readonly directory: string;
  readonly configFile: string;
  readonly pid: number;
  readonly exited: Daemon['exited'];
  signal(name: NodeJS.Signals): void;
  /** Replaces the configuration. */
  configure(sections: string): Promise<void>;
  /** On the socket of `-S`. */
  ask(commands: string): Promise<string>;
  log(): Promise<string>;
}

export const defaults = `defaults
  mode tcp
  timeout connect 5s
  timeout client 60s
  timeout server 60s
`;

/** Waits until it is ready. Stopped, and its directory removed, on teardown. */
export async function dropInProgram(
  t: ExecutionContext,
  sections: string,
  {args = [], env = {}, inherit = []}: {args?: readonly string[]; env?: Record<string, string>; inherit?: readonly number[]} = {},
): Promise<DropInProgram> {
  const directory = await mkdtemp('/tmp/picogate-test-');
  t.teardown(() => rm(directory, {recursive: true, force: true}));
  const configFile = join(directory, 'picogate.cfg');
  const socket = join(directory, 'master.sock');
  const configure = (text: string): Promise<void> => writeFile(configFile, `${defaults}${text}`);
  await configure(sections);
  const logFile = join(directory, 'log');
  const daemon = await startDaemon([programPath, '-db', '-f', configFile, '-S', socket, ...args], {
    stdio: ['ignore', 'ignore', await openForAppending(logFile), ...inherit],
    env: {...process.env, ...env},
  });
  t.teardown(() => daemon[Symbol.asyncDispose]());
  const log = (): Promise<string> => readFile(logFile, 'utf8').catch(() => '');
  const ended = {value: false};
  void daemon.exited.then(() => {
    ended.value = true;
  });
  await until(async () => {
    if (ended.value) throw new Error(`the program ended: ${await log()}`);
    return (await log()).includes('"msg":"ready"');
  });
  return {
    directory,
    configFile,
    pid: daemon.pid,
    exited: daemon.exited,
    signal: (name) => void process.kill(daemon.pid, name),
    configure,
    ask: (commands) => askSocket(socket, `${commands}\n`),
    log,
  };
}

async function openForAppending(path: string): Promise<number> {
  const {openSync} = await import('node:fs');
  return openSync(path, 'a');
}

/** Connects, sends a line, reads it back, and closes. @throws Error for anything but the same line */
export async function echoOnce(where: {readonly port: number; readonly host?: string} | {readonly path: string}): Promise<void> {
  const socket = connect({allowHalfOpen: false, ...('path' in where ? {path: where.path} : {host: where.host ?? '127.0.0.1', port: where.port})});
  try {
    let text = '';
    socket.on('data', (data: Buffer) => {
      text += data.toString();
    });
    socket.end('hello\n');
    await once(socket, 'close');
    if (text !== 'hello\n') throw new Error(`the answer is ${JSON.stringify(text)}`);
  } finally {
    socket.destroy();
  }
}
