/** The apps that were added, as this host knows them: so that a gateway has them before Redis is there, and when Redis has lost them. */
import {mkdir, readFile, rename, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import {CodedError, errorCode} from '../core/errors.ts';
import {type AddedSet, parseAddedApp} from '../store/added-apps.ts';
import {parseJson} from '../store/json.ts';

const none: AddedSet = {version: 0, apps: []};

function fileIn(stateDir: string): string {
  return join(stateDir, 'added-apps.json');
}

/** None when there is no such file, or when this process may not read it. @throws CodedError ERR_BAD_STATE */
export async function readAddedFile(stateDir: string): Promise<AddedSet> {
  let text: string;
  try {
    text = await readFile(fileIn(stateDir), 'utf8');
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'EACCES') return none;
    throw error;
  }
  const value = parseJson(text);
  const {version, apps} = typeof value === 'object' && value !== null && 'version' in value && 'apps' in value ? value : {version: null, apps: null};
  const parsed = Array.isArray(apps) ? apps.map(parseAddedApp) : [null];
  if (typeof version !== 'number' || parsed.includes(null)) {
    throw new CodedError('ERR_BAD_STATE', `Cannot read "${fileIn(stateDir)}": these are no apps`, {source: 'host'});
  }
  return {version, apps: parsed.filter((app) => app !== null)};
}

export async function writeAddedFile(stateDir: string, set: AddedSet): Promise<void> {
  await mkdir(stateDir, {recursive: true, mode: 0o700});
  const file = fileIn(stateDir);
  // Environment variables of an app may be secrets.
  await writeFile(`${file}.new`, JSON.stringify(set), {mode: 0o600, flush: true});
  await rename(`${file}.new`, file);
}
