/** `user` and `group` of `global`: who the process is once everything is open. */
import type {ProcessConfig} from '../config/process-value.ts';
import {groupNumber, userNumber} from '../core/accounts.ts';
import type {Log} from '../core/log.ts';

/**
 * Gives up the rights of root, for good: a later reload opens no file and no low port that the user may not. With apps they are needed for
 * namespaces, mounts and CRIU, and are kept.
 * @throws CodedError ERR_NO_USER
 */
export function dropPrivileges({user, group}: Pick<ProcessConfig, 'user' | 'group'>, {hasApps, log}: {readonly hasApps: boolean; readonly log: Log}): void {
  if (user === null && group === null) return;
  if (process.getuid?.() !== 0) return;
  if (hasApps) {
    log.warn({user, group}, 'the process stays root, because apps need that; user and group have no effect');
    return;
  }
  const gid = group === null ? null : groupNumber(group);
  const uid = user === null ? null : userNumber(user);
  if (gid !== null) {
    process.setgroups?.([gid]);
    process.setgid?.(gid);
  }
  if (uid !== null) process.setuid?.(uid);
}
