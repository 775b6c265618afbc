/**
 * runc makes the container at the first start; afterwards it is not needed any more, since processes are found through
 * their control groups and come back through CRIU. So its record of the container is removed as soon as the app runs.
 */
import {readFile, rm, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import {CommandError, run, startDaemon} from '../core/command.ts';
import {CodedError, errorCode, errorMessage} from '../core/errors.ts';
import {openStandardFiles, type StandardFiles} from './standard-files.ts';

const runcTimeoutMs = 30_000;

export interface RuncOptions {
  /** runc's directory of records. */
  readonly stateRoot: string;
  readonly bundle: string;
  readonly id: string;
  readonly spec: object;
  readonly standardFiles: StandardFiles;
  /** Called with the first process, which waits for the start. */
  readonly created: (pid: number) => Promise<void>;
}

/** Creates the container and starts its program. @throws CodedError ERR_START with what runc said; nothing runs then */
export async function runcStart(options: RuncOptions): Promise<number> {
  const {stateRoot, bundle, id} = options;
  const pidFile = join(bundle, 'pid');
  const logFile = join(bundle, 'runc.log');
  await rm(logFile, {force: true});
  await writeFile(join(bundle, 'config.json'), JSON.stringify(options.spec));
  const runc = ['runc', '--root', stateRoot, '--log', logFile, '--log-format', 'json'] as const;
  try {
    await create([...runc, 'create', '--bundle', bundle, '--pid-file', pidFile, id], options.standardFiles);
    const pid = Number(await readFile(pidFile, 'utf8'));
    await options.created(pid);
    await run([...runc, 'start', id], {timeoutMs: runcTimeoutMs});
    await rm(join(stateRoot, id), {recursive: true, force: true});
    return pid;
  } catch (error) {
    const said = await errorsIn(logFile);
    await run([...runc, 'delete', '--force', id], {timeoutMs: runcTimeoutMs}).catch(() => {
      // It may never have existed; what it left is in the app's control groups, which the caller clears.
    });
    await rm(join(stateRoot, id), {recursive: true, force: true});
    throw new CodedError('ERR_START', `Cannot start the container: ${said === '' ? errorMessage(error) : said}`, {source: 'server', cause: error});
  }
}

/** The container's first process inherits runc's descriptors, so they must be the app's and not pipes of ours. */
async function create(argv: readonly [string, ...string[]], standardFiles: StandardFiles): Promise<void> {
  using files = openStandardFiles(standardFiles);
  await using runc = await startDaemon(argv, {stdio: [files.input, files.output, files.output], dieWithParent: false, stopTimeoutMs: 100});
  const timer = setTimeout(() => runc.child.kill('SIGKILL'), runcTimeoutMs);
  const {exitCode, signal} = await runc.exited.finally(() => clearTimeout(timer));
  if (exitCode !== 0) {
    throw new CommandError('ERR_COMMAND_FAILED', `Cannot run "runc create": ${exitCode === null ? `killed by ${signal}` : `exit status ${exitCode}`}`, {
      argv,
      stderr: '',
      exitCode,
    });
  }
}

/** What runc logged, without its frames: `exec: "/bin/serve": stat /bin/serve: no such file or directory`. */
export async function errorsIn(logFile: string): Promise<string> {
  let text: string;
  try {
    text = await readFile(logFile, 'utf8');
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return '';
    throw error;
  }
  const messages = text.split('\n').flatMap((line) => {
    const entry = parseEntry(line);
    return entry?.level === 'error' && typeof entry.msg === 'string' ? [entry.msg] : [];
  });
  return messages
    .map((message) =>
      message.replace(
        /^(runc create failed|container_linux\.go:\d+|unable to start container process|error during container init|starting container process caused): /g,
        '',
      ),
    )
    .map((message) => message.replace(/^unable to start container process: /, '').replace(/^error during container init: /, ''))
    .join('; ');
}

function parseEntry(line: string): {level?: unknown; msg?: unknown} | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined; // Not a line of the log.
  }
}
