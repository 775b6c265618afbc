/** The texts of `picogate help TOPIC`, which are also in the manual page: files in topics/, in the little of Markdown that document.ts knows. */
import {readdir, readFile} from 'node:fs/promises';

const directory = new URL('topics/', import.meta.url);

export interface Topic {
  readonly name: string;
  readonly title: string;
  /** Without the title. */
  readonly body: string;
}

export async function topicNames(): Promise<string[]> {
  const files = await readdir(directory);
  return files.flatMap((file) => (file.endsWith('.md') ? [file.slice(0, -3)] : [])).sort();
}

/** @returns null when there is none */
export async function readTopic(name: string): Promise<Topic | null> {
  if (!(await topicNames()).includes(name)) return null;
  const [first = '', ...rest] = (await readFile(new URL(`${name}.md`, directory), 'utf8')).split('\n');
  return {name, title: first.replace(/^# /, ''), body: rest.join('\n').trim()};
}
