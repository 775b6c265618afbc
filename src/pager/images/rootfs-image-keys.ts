/**
 * Where images of root file systems lie in the object store.
 *
 *     images/<name>.json           which image a name means now; replaced by the next import under that name
 *     images/sha256/<digest>       one image: its tree, and where its chunks lie
 *     images/packs/<import>-<n>    chunks one after the other, some MiB; named after the import, never written twice
 *     images/imports/<import>      an import that is under way: nothing is removed meanwhile
 *     images/uses/<digest>/<user>  a pager that has mounted the image
 */
import {CodedError} from '../../core/errors.ts';

const namePattern = /^[A-Za-z0-9_:-][A-Za-z0-9_.:-]{0,127}$/;
const digestPattern = /^[0-9a-f]{64}$/;

/** @throws CodedError ERR_BAD_NAME */
export function checkImageName(name: string): string {
  if (namePattern.test(name)) return name;
  const rule = 'letters, digits and - _ . : are allowed, at most 128, not a dot first';
  throw new CodedError('ERR_BAD_NAME', `Cannot use "${name}" as the name of an image: ${rule}`, {source: 'client'});
}

export function isImageDigest(text: string): boolean {
  return digestPattern.test(text);
}

export const imagePrefix = {names: 'images/', manifests: 'images/sha256/', packs: 'images/packs/', imports: 'images/imports/', uses: 'images/uses/'} as const;

export const imageKeys = {
  name: (name: string): string => `${imagePrefix.names}${checkImageName(name)}.json`,
  image: (digest: string): string => `${imagePrefix.manifests}${digest}`,
  pack: (importId: string, number: number): string => `${imagePrefix.packs}${importId}-${number}`,
  import: (importId: string): string => `${imagePrefix.imports}${importId}`,
  use: (digest: string, user: string): string => `${imagePrefix.uses}${digest}/${user}`,
} as const;

/** The name that a key stands for, or undefined for a key of another kind. */
export function nameOfKey(key: string): string | undefined {
  return /^images\/([^/]+)\.json$/.exec(key)?.[1];
}
