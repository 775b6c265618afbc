/** On what, and of what, a sample was taken: without it a figure cannot be compared with another. */
import {cpus, release, totalmem} from 'node:os';
import {fileURLToPath} from 'node:url';
import {run} from '../src/core/command.ts';
import {criuCommand} from '../src/core/tools.ts';

export interface Machine {
  readonly commit: string;
  readonly kernel: string;
  readonly machine: {
    readonly cpu: string;
    readonly cores: number;
    readonly memoryBytes: number;
    readonly node: string;
    readonly criu: string;
    readonly redis: string;
    readonly runc: string;
  };
}

const repository = fileURLToPath(new URL('..', import.meta.url));

/** What a program says of itself, or `unknown`: a benchmark does not fail for it. */
async function output(argv: readonly [string, ...string[]], pattern = /.*/): Promise<string> {
  try {
    const {stdout} = await run(argv, {timeoutMs: 10_000, cwd: repository});
    const match = pattern.exec(stdout);
    return match?.[1] ?? match?.[0] ?? 'unknown';
  } catch {
    return 'unknown'; // It may not be installed, or this may be no clone.
  }
}

async function commit(): Promise<string> {
  const [id, changes] = await Promise.all([output(['git', 'rev-parse', 'HEAD']), output(['git', 'status', '--porcelain', '--', 'src', 'bin'])]);
  return changes === '' || changes === 'unknown' ? id : `${id}+changes`;
}

export async function describeMachine(): Promise<Machine> {
  const [head, criu, redis, runc] = await Promise.all([
    commit(),
    output([...criuCommand(), '--version'], /Version: (\S+)/),
    output(['redis-server', '--version'], /v=(\S+)/),
    output(['runc', '--version'], /version (\S+)/),
  ]);
  const processors = cpus();
  return {
    commit: head,
    kernel: release(),
    machine: {cpu: processors[0]?.model.trim() ?? 'unknown', cores: processors.length, memoryBytes: totalmem(), node: process.version, criu, redis, runc},
  };
}
