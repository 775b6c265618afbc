/** Files of patterns (`-f`) and of maps, which are read when the configuration is. */
import {dirname, resolve} from 'node:path';
import {errorCode, errorMessage} from '../../core/errors.ts';
import {ConfigError} from '../arguments.ts';
import type {Word} from '../lex.ts';
import type {Scope} from '../scope.ts';

export interface PatternFile {
  /** Absolute. */
  readonly path: string;
  /** Without comments and empty lines. */
  readonly lines: readonly string[];
}

/** @param word where it is named @throws ConfigError that names the file */
export function readPatternFile(name: string, word: Word, {host, paths}: Pick<Scope, 'host' | 'paths'>): PatternFile {
  const path = resolve(paths.defaultPath ?? dirname(word.position.file), name);
  let text: string;
  try {
    text = host.readText(path);
  } catch (error) {
    const reason = errorCode(error) === 'ENOENT' ? 'no such file or directory' : errorMessage(error);
    throw new ConfigError(`failed to open pattern file <${name}>: ${reason}`, word.position, name);
  }
  const lines = text
    .split('\n')
    .map((line) => line.replace(/^[ \t]+|[ \t\r]+$/g, ''))
    .filter((line) => line !== '' && !line.startsWith('#'));
  return {path, lines};
}

/** The key of a line of a map, for tests that look at keys alone (`-M`). */
export function keyOf(line: string): string {
  return /^\S+/.exec(line)?.[0] ?? line;
}
