/** Samples as JSON lines, each with all that is needed to compare it with one of another run. */
import {mkdirSync} from 'node:fs';
import {open} from 'node:fs/promises';
import {dirname} from 'node:path';
import {fileURLToPath} from 'node:url';
import type {Machine} from './machine.ts';
import type {Sample} from './suite.ts';

export interface Results extends AsyncDisposable {
  readonly path: string;
  add(suite: string, sample: Sample): void;
}

/** Git ignores it. */
const resultsDirectory = fileURLToPath(new URL('./results', import.meta.url));

/** Appends to `path`; by default to a new file below bench/results. */
export async function openResults(machine: Machine, suites: readonly string[], path?: string): Promise<Results> {
  const startedAt = new Date().toISOString().replaceAll(':', '');
  const file = path ?? `${resultsDirectory}/${suites.join('+')}-${startedAt}.jsonl`;
  mkdirSync(dirname(file), {recursive: true});
  const handle = await open(file, 'a');
  const stream = handle.createWriteStream();
  return {
    path: file,
    add(suite, sample) {
      stream.write(`${JSON.stringify({suite, ...sample, ...machine, time: new Date().toISOString()})}\n`);
    },
    async [Symbol.asyncDispose]() {
      await new Promise<void>((resolve, reject) => {
        stream.once('error', reject);
        stream.end(resolve);
      });
    },
  };
}
