/** Files of this host that a configuration names: read or looked up while it is checked. */
import {readdirSync, readFileSync, statSync} from 'node:fs';
import {errorCode, errorMessage} from '../core/errors.ts';
import {ConfigError} from './arguments.ts';
import type {Word} from './lex.ts';
import type {HostFiles, Scope} from './scope.ts';

/** The files of this host. They are read at once: a configuration is checked before traffic, or beside it in a process of its own. */
export const hostFiles: HostFiles = {
  readText: (path) => readFileSync(path, 'utf8'),
  kindOf(path) {
    const found = statSync(path, {throwIfNoEntry: false});
    if (found === undefined) return null;
    return found.isFile() ? 'file' : found.isDirectory() ? 'directory' : 'other';
  },
  list: (path) => readdirSync(path).sort(),
};

/** @param word where the file is named @throws ConfigError that says why it cannot be read */
export function readHostFile(path: string, word: Word, {host}: Pick<Scope, 'host'>): string {
  try {
    return host.readText(path);
  } catch (error) {
    const reason = errorCode(error) === 'ENOENT' ? 'no such file or directory' : errorMessage(error);
    throw new ConfigError(`error opening file '${word.text}': ${reason}`, word.position, word.text);
  }
}
