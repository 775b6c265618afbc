/** Who a program in an app's root is, and what it may have. */
import type {AppConfig} from '../config/value.ts';
import {openFilesLimits} from '../core/open-files.ts';
import {resolveUser} from './container-user.ts';
import type {StartSettings} from './image-settings.ts';
import type {Person} from './oci-spec.ts';
import {readEtc} from './rootfs-files.ts';

const openFilesMax = 65_536;

/** @param options.rootDir where the root of the app is mounted. @throws CodedError ERR_NO_USER */
export async function personOf({app, start, rootDir}: {readonly app: AppConfig; readonly start: StartSettings; readonly rootDir: string}): Promise<Person> {
  const user = resolveUser(start.user, await readEtc(rootDir, 'passwd'), await readEtc(rootDir, 'group'));
  return {app, start, hostname: hostnameOf(app), user, openFiles: Math.min(openFilesMax, openFilesLimits().hard)};
}

export function hostnameOf({name}: AppConfig): string {
  return name.replace(/[^A-Za-z0-9-]/g, '-');
}
