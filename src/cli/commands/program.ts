/** All commands. Each one's module is imported when it is asked for, so that a short command starts quickly. */
import {Command} from 'commander';
import {version} from '../version.ts';
import {addAddedAppCommands} from './added-app-commands.ts';
import {addAppCommands} from './app-commands.ts';
import {addGatewayCommands} from './gateway-commands.ts';
import {addHelpCommands} from './help-commands.ts';
import {addImageCommands} from './image-commands.ts';
import {addReportCommands} from './report-commands.ts';
import {addWorkerCommands} from './worker-commands.ts';

export function buildProgram(): Command {
  const program = new Command('picogate')
    .description('An edge gateway that puts idle servers to sleep and wakes them on the first packet.')
    .version(version)
    .enablePositionalOptions()
    .exitOverride()
    .showHelpAfterError('(picogate --help shows the commands)');
  addAppCommands(program);
  addReportCommands(program);
  addWorkerCommands(program);
  addAddedAppCommands(program);
  addImageCommands(program);
  addGatewayCommands(program);
  addHelpCommands(program);
  return program;
}
