import {listImages} from '../../pager/images/rootfs-image-remove.ts';
import {loadValid} from '../configuration.ts';
import {openObjects} from '../open-objects.ts';

/** Those of the store, which may be far away: imported only when somebody asks. */
export async function readImages(files: readonly string[] | undefined): Promise<readonly string[]> {
  await using scope = new AsyncDisposableStack();
  const images = await listImages(await openObjects(await loadValid(files, {quiet: true}), scope));
  return images.map(({name}) => name);
}
