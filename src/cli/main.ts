/** The program: HAProxy's command line, or one of our commands. */
import {CommanderError} from 'commander';
import {errorMessage} from '../core/errors.ts';
import {buildProgram} from './commands/program.ts';
import {exitStatus, statusOf} from './exit-status.ts';
import {isHaproxyCommandLine} from './haproxy-arguments.ts';

/** `events -f` follows, as `tail -f` does. */
function translate(args: readonly string[]): string[] {
  if (args[0] !== 'events') return [...args];
  return args.map((arg, at) => {
    const following = args[at + 1];
    return arg === '-f' && (following === undefined || following.startsWith('-')) ? '--follow' : arg;
  });
}

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});

try {
  const words = process.argv.slice(2);
  if (words[0] === '__complete') await (await import('./completion/complete.ts')).complete(words.slice(1));
  else if (isHaproxyCommandLine(words)) process.exitCode = await (await import('./drop-in.ts')).dropIn(words);
  else await buildProgram().parseAsync(translate(words), {from: 'user'});
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? 0 : exitStatus.refused;
  } else {
    process.stderr.write(`picogate: ${errorMessage(error)}\n`);
    process.exitCode = statusOf(error);
  }
}
