/**
 * Where the set-up (tools/with-setup) puts what this machine's packages do not offer: a directory outside the clone,
 * shared by all clones. Its `criu.json` holds the argument vector that starts CRIU.
 */
import {accessSync, constants, readFileSync} from 'node:fs';
import {delimiter, join} from 'node:path';
import {CodedError, errorCode} from './errors.ts';

export type Argv = readonly [string, ...string[]];

export interface ToolsOptions {
  /** Default: this process's. */
  readonly env?: Readonly<Record<string, string | undefined>>;
}

/** PICOGATE_TOOLS, or /var/lib/picogate-tools. It may not exist. */
export function toolsDirectory({env = process.env}: ToolsOptions = {}): string {
  return env['PICOGATE_TOOLS'] || '/var/lib/picogate-tools';
}

/**
 * How to start CRIU, to be followed by its arguments: `configured` (the path that the configuration names), else the
 * path in PICOGATE_CRIU, else what the set-up recorded, else `criu` on PATH. Reads files synchronously: for start-up.
 * @throws CodedError ERR_NO_CRIU
 */
export function criuCommand(configured: string | null = null, options: ToolsOptions = {}): Argv {
  const env = options.env ?? process.env;
  if (configured !== null) return [executable(configured, 'the configuration names')];
  if (env['PICOGATE_CRIU']) return [executable(env['PICOGATE_CRIU'], 'PICOGATE_CRIU names')];
  return recordedCriu(join(toolsDirectory({env}), 'criu.json')) ?? [criuOnPath(env['PATH'] ?? '')];
}

function executable(path: string, who: string): string {
  if (isExecutable(path)) return path;
  throw new CodedError('ERR_NO_CRIU', `Cannot use CRIU "${path}", which ${who}: no such program`, {source: 'host'});
}

function recordedCriu(file: string): Argv | null {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'EACCES') return null;
    throw error;
  }
  const argv = parseRecord(text);
  if (argv === null)
    throw new CodedError('ERR_NO_CRIU', `Cannot read "${file}": not {"argv": ["PROGRAM", ...]}; delete it and run the set-up again (npm start)`, {
      source: 'host',
    });
  // A record outlives what it names when somebody clears the directory: then as if there were none.
  return argv.every((part) => !part.startsWith('/') || part.includes(':') || isReadable(part)) ? argv : null;
}

function parseRecord(text: string): Argv | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null; // The caller names the file.
  }
  if (typeof value !== 'object' || value === null || !('argv' in value) || !Array.isArray(value.argv)) return null;
  const parts: unknown[] = value.argv;
  const argv = parts.filter((part) => typeof part === 'string');
  const [program, ...rest] = argv;
  return program === undefined || argv.length !== parts.length ? null : [program, ...rest];
}

function criuOnPath(searchPath: string): string {
  for (const directory of [...searchPath.split(delimiter), '/usr/sbin', '/sbin']) {
    const candidate = join(directory, 'criu');
    if (directory !== '' && isExecutable(candidate)) return candidate;
  }
  throw new CodedError(
    'ERR_NO_CRIU',
    'Cannot find CRIU: not on PATH and not installed by the set-up; run "sh tools/with-setup install" as root in the directory of Picogate, or name it with "criu PATH" in section global',
    {
      source: 'host',
    },
  );
}

function isExecutable(path: string): boolean {
  return canAccess(path, constants.X_OK);
}

function isReadable(path: string): boolean {
  return canAccess(path, constants.R_OK);
}

function canAccess(path: string, mode: number): boolean {
  try {
    accessSync(path, mode);
    return true;
  } catch {
    return false; // Why it cannot be used makes no difference to the search.
  }
}
