import {command, printJson} from './remote.ts';

/** The last lines that an app wrote. @returns the exit status */
export async function logs(files: readonly string[] | undefined, name: string, {lines, json}: {lines: number; json: boolean}): Promise<number> {
  const text = await command(files, 'logs', {name, lines}, 10_000);
  if (json) printJson(typeof text === 'string' ? text.split('\n').filter((line) => line !== '') : text);
  else process.stdout.write(typeof text === 'string' ? text : JSON.stringify(text));
  return 0;
}
