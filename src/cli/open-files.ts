/** `ulimit-n` of `global`: how many descriptors the process may at least have open. */
import {run} from '../core/command.ts';
import {CodedError} from '../core/errors.ts';
import {openFilesLimits} from '../core/open-files.ts';

const timeoutMs = 10_000;

/** Raises the limit of this process where it is lower; Node has set it to the hard limit. @throws CodedError ERR_ULIMIT */
export async function allowOpenFiles(count: number | null): Promise<void> {
  if (count === null) return;
  const {hard} = openFilesLimits();
  if (count <= hard) return;
  try {
    await run(['prlimit', '--pid', String(process.pid), `--nofile=${count}:${count}`], {timeoutMs});
  } catch (error) {
    const reason = `the hard limit is ${hard}, which only root may raise, up to fs.nr_open`;
    throw new CodedError('ERR_ULIMIT', `Cannot let this process open ${count} files, as ulimit-n says: ${reason}`, {source: 'host', cause: error});
  }
}
