import {fileURLToPath} from 'node:url';
import {run} from '../../src/core/command.ts';

const program = fileURLToPath(new URL('./forget-files.py', import.meta.url));
const timeoutMs = 60_000;

/** Takes the files below these directories out of the page cache, and nothing else: the machine is not ours alone. */
export async function forgetFiles(directories: readonly string[]): Promise<void> {
  await run(['python3', program, ...directories], {timeoutMs});
}
