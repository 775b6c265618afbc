/** Images of root file systems in the store. */
import type {Command} from 'commander';
import {addCommand, addListing, done, type JsonOption, type ListOptions, yesOption} from './command-kit.ts';

interface ImportOptions extends JsonOption {
  readonly platform: string | undefined;
  readonly tag: string | undefined;
}

export function addImageCommands(program: Command): void {
  const parent = program.command('image').description('images of root file systems in the store');
  const command = (name: string, description: string): Command => addCommand(parent, name, description).option('--json', 'print JSON', false);
  command('import', 'make an image of an OCI layout or archive, a Docker archive, a tarball or a directory')
    .argument('<name>')
    .argument('<source>', 'its path, or - for an archive on standard input')
    .option('--platform <platform>', "for another machine than this, as linux/arm64; default: this machine's")
    .option('--tag <tag>', 'which one, when the source holds several images')
    .action(async (name: string, source: string, options: ImportOptions) =>
      done(await (await import('../image.ts')).imageImport(options.file, name, source, options)),
    );
  addListing(parent, 'list', 'list the images').action(async (options: ListOptions) =>
    done(await (await import('../image.ts')).imageList(options.file, options)),
  );
  command('show', 'everything about one image, and how it is run')
    .argument('<image>')
    .action(async (name: string, options: JsonOption) => done(await (await import('../image.ts')).imageShow(options.file, name, options)));
  command('rm', 'remove an image, and what no other image and no checkpoint needs')
    .alias('remove')
    .argument('<image>')
    .addOption(yesOption())
    .action(async (name: string, options: JsonOption & {yes: boolean}) => done(await (await import('../image.ts')).imageRemove(options.file, name, options)));
  command('gc', 'remove what no image and no checkpoint needs, and what killed imports have left')
    .option('-n, --dry-run', 'only say what would be removed', false)
    .action(async (options: JsonOption & {dryRun: boolean}) => done(await (await import('../image.ts')).imageGc(options.file, options)));
  command('verify', 'read images, all by default, and say what is damaged; exit status 1 then')
    .argument('[image...]')
    .action(async (names: string[], options: JsonOption) => done(await (await import('../image.ts')).imageVerify(options.file, names, options)));
}
