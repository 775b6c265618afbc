/** What the completion scripts of the shells call: quick, and silent about whatever fails. */

import {buildProgram} from '../commands/program.ts';
import {expectedNext, type NameKind} from './candidates.ts';
import {readApps, readWorkers} from './known-names.ts';

/** A gateway that does not answer within this time has no names. */
const patienceMs = 1500;

/** The words after the program's name, the last of which is being written. Prints a line for each candidate: `text TAB description`, or `:files`. */
export async function complete(words: readonly string[]): Promise<void> {
  const {candidates, names, files} = expectedNext(buildProgram(), words);
  const lines = candidates.map(({text, description}) => `${text}\t${description}`);
  if (names !== null) lines.push(...(await namesOf(names, words)).filter((name) => name.startsWith(words.at(-1) ?? '')).map((name) => `${name}\t${names}`));
  if (files) lines.push(':files');
  process.stdout.write(lines.map((line) => `${line}\n`).join(''));
}

async function namesOf(kind: NameKind, words: readonly string[]): Promise<readonly string[]> {
  const at = words.findIndex((word) => word === '-f' || word === '--file');
  const file = at === -1 ? undefined : words[at + 1];
  const files = file === undefined || at + 2 >= words.length ? undefined : [file];
  const {promise: late, resolve} = Promise.withResolvers<readonly string[]>();
  setTimeout(resolve, patienceMs, []).unref();
  try {
    return await Promise.race([
      late,
      kind === 'app' ? readApps(files) : kind === 'worker' ? readWorkers(files) : (await import('./known-images.ts')).readImages(files),
    ]);
  } catch {
    return []; // A completion says nothing of what is wrong; the command itself will.
  }
}
