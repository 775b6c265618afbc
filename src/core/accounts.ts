/** Users and groups of this host, by name or number. */
import {readFileSync} from 'node:fs';
import {CodedError} from './errors.ts';

/** @throws CodedError ERR_NO_USER */
export function userNumber(name: string): number {
  return lookUp('user', name, '/etc/passwd');
}

/** @throws CodedError ERR_NO_USER */
export function groupNumber(name: string): number {
  return lookUp('group', name, '/etc/group');
}

function lookUp(what: 'user' | 'group', name: string, file: string): number {
  if (/^\d{1,10}$/.test(name)) return Number(name);
  for (const line of readFileSync(file, 'utf8').split('\n')) {
    const [found, , number] = line.split(':', 3);
    if (found === name && number !== undefined) return Number(number);
  }
  throw new CodedError('ERR_NO_USER', `Cannot find ${what} "${name}": not in ${file}`, {source: 'client'});
}
