import {load, printDiagnostics} from './configuration.ts';

/** @returns the exit status: 0 for a valid configuration, else 1 */
export async function check(files: readonly string[] | undefined, {quiet, json}: {quiet: boolean; json: boolean}): Promise<number> {
  const {config, diagnostics} = await load(files, {missingPath: 'alert'});
  const shown = quiet ? diagnostics.filter((diagnostic) => diagnostic.level === 'alert') : diagnostics;
  if (json) process.stdout.write(`${JSON.stringify({valid: config !== null, diagnostics: shown}, null, 2)}\n`);
  else printDiagnostics(shown);
  if (config !== null && !quiet && !json) process.stdout.write('Configuration file is valid\n');
  return config === null ? 1 : 0;
}
