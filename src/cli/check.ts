import {evaluateWritten} from '../config/conditional/predicates.ts';
import {load, printDiagnostics} from './configuration.ts';

/** @returns the exit status: 0 for a valid configuration, else 1 */
export async function check(files: readonly string[] | undefined, {quiet, json}: {quiet: boolean; json: boolean}): Promise<number> {
  const {config, diagnostics} = await load(files, {missingPath: 'alert', lookUpNames: true});
  const shown = quiet ? diagnostics.filter((diagnostic) => diagnostic.level === 'alert') : diagnostics;
  if (json) process.stdout.write(`${JSON.stringify({valid: config !== null, diagnostics: shown}, null, 2)}\n`);
  else printDiagnostics(shown);
  if (config !== null && !quiet && !json) process.stdout.write('Configuration file is valid\n');
  return config === null ? 1 : 0;
}

/** HAProxy's `-cc`: whether a condition of `.if` holds. @returns the exit status: 0 if it does, 1 if not, 2 for what is no condition */
export function checkCondition(condition: string): number {
  const verdict = evaluateWritten(condition, process.env);
  if (verdict.ok) return verdict.value ? 0 : 1;
  process.stderr.write(`picogate: Cannot evaluate condition "${condition}": ${verdict.reason}\n`);
  return 2;
}
