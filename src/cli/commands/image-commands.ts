/** Images of root file systems in the store. */
import type {Command} from 'commander';
import {addCommand, done, type JsonOption} from './command-kit.ts';

export function addImageCommands(program: Command): void {
  const parent = program.command('image').description('images of root file systems in the store');
  const command = (name: string, description: string): Command => addCommand(parent, name, description).option('--json', 'print JSON', false);
  command('import', 'make an image of a directory or a tar archive')
    .argument('<name>')
    .argument('<source>')
    .action(async (name: string, source: string, options: JsonOption) =>
      done(await (await import('../image.ts')).imageImport(options.file, name, source, options)),
    );
  command('list', 'list the images').action(async (options: JsonOption) => done(await (await import('../image.ts')).imageList(options.file, options)));
  command('remove', 'remove an image, and what no other image and no checkpoint needs')
    .argument('<name>')
    .action(async (name: string, options: JsonOption) => done(await (await import('../image.ts')).imageRemove(options.file, name, options)));
}
