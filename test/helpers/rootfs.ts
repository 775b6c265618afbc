import {sharedRootfs} from '../../tools/debian-rootfs.ts';

/**
 * A root file system with these Debian packages and what they depend on, to be used read-only. The first call on a
 * machine downloads them; later ones are instant. Needs root.
 */
export function rootfsWith(...packages: readonly string[]): Promise<string> {
  return sharedRootfs({packages});
}
