/** A gateway without apps, started as an operator starts it: `bin/picogate run -f FILE`. */
import {once} from 'node:events';
import {mkdtemp, open, readFile, rm, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import {startDaemon} from '../../src/core/command.ts';
import {programPath, untilQuiet} from '../bench-gateway.ts';
import {type ProcessMemory, treeMemory} from '../process-tree.ts';

export interface PlainGateway extends AsyncDisposable {
  /** Resolves when no process of the gateway works any more. */
  untilQuiet(): Promise<void>;
  memory(): Promise<ProcessMemory[]>;
}

const readyDescriptor = 3;

/** Resolves when it is ready. @param sections frontends and backends */
export async function startPlainGateway(sections: string, signal: AbortSignal): Promise<PlainGateway> {
  await using scope = new AsyncDisposableStack();
  const stateDir = await mkdtemp('/var/tmp/picogate-bench-');
  scope.defer(() => rm(stateDir, {recursive: true, force: true}));
  const configFile = join(stateDir, 'picogate.cfg');
  const logFile = join(stateDir, 'gateway.log');
  await writeFile(configFile, `global\n    state-dir ${stateDir}\n${sections}`);
  await using log = await open(logFile, 'a');
  const daemon = scope.use(
    await startDaemon([programPath, 'run', '-f', configFile, '--ready-fd', String(readyDescriptor)], {stdio: ['ignore', log.fd, log.fd, 'pipe']}),
  );
  const ready = daemon.child.stdio[readyDescriptor];
  const first = await Promise.race([ready === null || ready === undefined ? daemon.exited : once(ready, 'data').then(() => null), daemon.exited]);
  if (first !== null) throw new Error(`the gateway ended at once: ${(await readFile(logFile, 'utf8')).slice(-2000)}`);
  const owned = scope.move();
  return {
    untilQuiet: () => untilQuiet(daemon.pid, signal),
    memory: () => treeMemory(daemon.pid),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
