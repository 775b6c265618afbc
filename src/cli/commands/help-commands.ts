/** What tells of the program itself: help, the manual pages, completion. */
import {Argument, type Command} from 'commander';
import {completionScript, type Shell, shells} from '../completion/scripts.ts';
import {done} from './command-kit.ts';

export function addHelpCommands(program: Command): void {
  program.helpCommand(false);
  program
    .command('help')
    .description('help on a command or a topic; without one: all of them')
    .argument('[subject...]')
    .action(async (subject: string[]) => done(await (await import('../help.ts')).help(program, subject)));
  program
    .command('man')
    .description('print a manual page, for man -l or a directory of MANPATH')
    .addArgument(new Argument('<page>', '1: picogate(1); 5: picogate.cfg(5)').choices(['1', '5']))
    .action(async (number: string) => {
      const {configurationPage, programPage} = await import('../manual.ts');
      process.stdout.write(number === '1' ? await programPage(program) : configurationPage());
    });
  program
    .command('completion')
    .description('print what a shell reads to complete our command lines')
    .addArgument(new Argument('<shell>', 'whose').choices(shells))
    .action((shell: Shell) => void process.stdout.write(completionScript(shell)));
}
