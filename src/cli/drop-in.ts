/** The program under HAProxy's command line. */
import {evaluateWritten} from '../config/conditional/predicates.ts';
import {errorMessage} from '../core/errors.ts';
import {load, printDiagnostics} from './configuration.ts';
import {exitStatus} from './exit-status.ts';
import {filesOf, type HaproxyArguments, haproxyUsage, parseHaproxyArguments} from './haproxy-arguments.ts';
import {versionText} from './version.ts';

/** @returns the exit status: 0 valid or stopped, 1 for what was given to us, 2 when the gateway cannot start */
export async function dropIn(words: readonly string[]): Promise<number> {
  let args: HaproxyArguments;
  try {
    args = parseHaproxyArguments(words);
  } catch (error) {
    process.stderr.write(`picogate: ${errorMessage(error)}\n${haproxyUsage}`);
    return exitStatus.badConfiguration;
  }
  if (args.action === 'version' || args.action === 'long-version') {
    process.stdout.write(versionText({verbose: args.action === 'long-version'}));
    return 0;
  }
  if (typeof args.action === 'object') {
    return evaluate(args.action.condition);
  }
  if (args.directory !== null) process.chdir(args.directory);
  if (args.files.length === 0 && process.env['PICOGATE_CONFIG'] === undefined) {
    process.stderr.write(haproxyUsage);
    return exitStatus.badConfiguration;
  }
  if (args.action === 'check') return check(args);
  // What only a gateway needs takes as long to load as all the rest.
  return (await import('./start.ts')).start(words, args);
}

/** `-cc`: 0 when it holds, 1 when it does not, 2 when it is none. */
function evaluate(condition: string): number {
  const verdict = evaluateWritten(condition, process.env);
  if (verdict.ok) return verdict.value ? 0 : 1;
  process.stderr.write(`[ALERT]    (${process.pid}) : config : Failed to evaluate condition: ${verdict.reason}\n`);
  return exitStatus.cannotStart;
}

async function check(args: HaproxyArguments): Promise<number> {
  const {config, diagnostics} = await load(filesOf(args), {missingPath: 'alert'});
  printDiagnostics(args.quiet ? diagnostics.filter(({level}) => level === 'alert') : diagnostics);
  if (config === null) return exitStatus.badConfiguration;
  if (!args.quiet) {
    if (diagnostics.length > 0 && args.verbose) process.stdout.write('Warnings were found.\n');
    process.stdout.write('Configuration file is valid\n');
  }
  return 0;
}
