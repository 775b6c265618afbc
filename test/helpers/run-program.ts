import {CommandError, run} from '../../src/core/command.ts';
import {programPath} from './gateway.ts';

export interface Ended {
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `bin/picogate` to its end, whatever that is. `prefix` is what starts it, with its arguments. */
export async function runProgram(
  args: readonly string[],
  {prefix = [], timeoutMs = 20_000}: {prefix?: readonly string[]; timeoutMs?: number} = {},
): Promise<Ended> {
  const [file = programPath, ...rest] = [...prefix, programPath, ...args];
  try {
    return {exitCode: 0, ...(await run([file, ...rest], {timeoutMs}))};
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    return {exitCode: error.exitCode, stdout: '', stderr: error.stderr};
  }
}
