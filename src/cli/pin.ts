import type {Json} from '../store/json.ts';
import {command, printJson} from './remote.ts';

const timeoutMs = 10_000;

function fieldOf(answer: Json, name: string): unknown {
  return typeof answer === 'object' && answer !== null ? Reflect.get(answer, name) : undefined;
}

/** Keeps an app awake, once it is, for a time or until it is unpinned. @param options.forMs null: no end @returns the exit status */
export async function pin(files: readonly string[] | undefined, name: string, {forMs, json}: {forMs: number | null; json: boolean}): Promise<number> {
  const answer = await command(files, 'pin', {name, forMs}, timeoutMs);
  const [until, state] = [fieldOf(answer, 'until'), fieldOf(answer, 'state')];
  const end = typeof until === 'number' ? ` until ${new Date(until).toISOString()}` : '';
  if (json) printJson(answer);
  else process.stdout.write(`${name}: pinned${end}${state === 'running' ? '' : `; it is ${String(state)}, and stays awake when it is woken`}\n`);
  return 0;
}

/** @returns the exit status */
export async function unpin(files: readonly string[] | undefined, name: string, {json}: {json: boolean}): Promise<number> {
  const answer = await command(files, 'unpin', {name}, timeoutMs);
  if (json) printJson(answer);
  else process.stdout.write(`${name}: not pinned\n`);
  return 0;
}
