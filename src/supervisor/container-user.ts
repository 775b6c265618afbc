/** `user` of an app: a name or number, with a group or without, looked up in the app's own /etc/passwd and /etc/group. */
import {CodedError} from '../core/errors.ts';

export interface ContainerUser {
  readonly uid: number;
  readonly gid: number;
  readonly additionalGids: readonly number[];
  readonly home: string;
}

/** @throws CodedError ERR_NO_USER */
export function resolveUser(user: string, passwd: string, group: string): ContainerUser {
  const [wantedUser = '', wantedGroup] = user.split(':', 2);
  const accounts = records(passwd);
  const groups = records(group);
  const byNumber = /^\d+$/.test(wantedUser);
  const account = accounts.find((fields) => fields[byNumber ? 2 : 0] === wantedUser);
  if (account === undefined && !byNumber) throw missing('user', wantedUser, 'passwd');
  const uid = Number(account?.[2] ?? wantedUser);
  const gid = wantedGroup === undefined ? Number(account?.[3] ?? 0) : groupNumber(wantedGroup, groups);
  const name = account?.[0];
  // As login does: a group that was asked for stands alone.
  const additionalGids =
    wantedGroup !== undefined || name === undefined ? [] : groups.filter((fields) => fields[3]?.split(',').includes(name)).map((fields) => Number(fields[2]));
  return {uid, gid, additionalGids, home: account?.[5] || (uid === 0 ? '/root' : '/')};
}

function groupNumber(wanted: string, groups: readonly string[][]): number {
  if (/^\d+$/.test(wanted)) return Number(wanted);
  const found = groups.find((fields) => fields[0] === wanted);
  if (found === undefined) throw missing('group', wanted, 'group');
  return Number(found[2]);
}

function missing(what: string, name: string, file: string): CodedError {
  return new CodedError('ERR_NO_USER', `Cannot find ${what} "${name}": not in /etc/${file} of the root file system`, {source: 'client'});
}

function records(text: string): string[][] {
  return text.split('\n').flatMap((line) => (line === '' || line.startsWith('#') ? [] : [line.split(':')]));
}
