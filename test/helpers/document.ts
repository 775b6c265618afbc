/**
 * Runs a document of docs/: the files that it shows are written, its commands are run, and what it says that they print is compared. In fenced blocks:
 *
 *     ```sh                      commands; the block must succeed (set -eu)
 *     ```sh until=ready          a program that goes on: it has to print this; it is ended before the next such block, and at the end
 *     ```console                 "# command" or "$ command" lines, each with the output that follows; "..." there stands for anything
 *     ```haproxy file=/etc/x.cfg the content of a file
 *     ```sh needs=systemd        only where the caller says that this is there
 *     ```text                    and all other languages without file=: for readers only
 */
import {mkdir, readFile, writeFile} from 'node:fs/promises';
import {dirname} from 'node:path';
import {fileURLToPath} from 'node:url';
import type {ExecutionContext} from 'ava';
import {CommandError, run} from '../../src/core/command.ts';

export interface Block {
  readonly language: string;
  readonly attributes: ReadonlyMap<string, string>;
  readonly text: string;
  /** Of its first line in the document, from 1. */
  readonly line: number;
}

export interface Step {
  readonly command: string;
  /** Null: whatever it prints. */
  readonly output: string | null;
}

/** Where a document is run. */
export interface Machine {
  /** Runs a script of bash. @returns what it printed @throws CommandError */
  shell(script: string, options: {readonly timeoutMs: number}): Promise<string>;
  /** Makes the directories above the file, too. */
  write(path: string, content: string): Promise<void>;
}

export function thisMachine(at: {readonly env: Readonly<Record<string, string | undefined>>; readonly cwd: string}): Machine {
  return {
    shell: async (script, {timeoutMs}) => (await run(['bash', '-c', script], {...at, timeoutMs})).stdout,
    async write(path, content) {
      await mkdir(dirname(path), {recursive: true});
      await writeFile(path, content);
    },
  };
}

export interface DocumentOptions {
  readonly machine: Machine;
  /** Texts of the document that are others in the test: paths, ports. Longer ones win. */
  readonly replace: Readonly<Record<string, string>>;
  /** What is there of `needs=`. */
  readonly has?: readonly string[];
  /** Of one command. */
  readonly timeoutMs?: number;
}

export function blocksOf(document: string): Block[] {
  const blocks: Block[] = [];
  const lines = document.split('\n');
  for (let at = 0; at < lines.length; at += 1) {
    const [, fence, info] = /^(`{3,})(.*)$/.exec(lines[at] ?? '') ?? [];
    if (fence === undefined || info === undefined) continue;
    const end = lines.indexOf(fence, at + 1);
    if (end === -1) throw new Error(`the block that begins in line ${at + 1} has no end`);
    const [language = '', ...words] = info.trim().split(/\s+/);
    const attributes = new Map(words.map((word) => [word.split('=', 1)[0] ?? '', word.slice(word.indexOf('=') + 1)]));
    blocks.push({language, attributes, text: lines.slice(at + 1, end).join('\n'), line: at + 2});
    at = end;
  }
  return blocks;
}

/** The commands of a `console` block. A command that ends with a backslash goes on in the next line. */
export function stepsOf(text: string): Step[] {
  const steps: {command: string; output: string[]}[] = [];
  for (const line of text.split('\n')) {
    const last = steps.at(-1);
    if (/^[#$] /.test(line)) steps.push({command: line.slice(2), output: []});
    else if (last === undefined) throw new Error(`"${line}" comes before the first prompt`);
    else if (last.output.length === 0 && last.command.endsWith('\\')) last.command = `${last.command}\n${line}`;
    else last.output.push(line);
  }
  return steps.map(({command, output}) => ({command, output: output.length === 0 ? null : output.join('\n')}));
}

/** Whether a program printed what a document says; blanks at the ends of lines and of the whole do not count. */
export function isOutput(found: string, said: string): boolean {
  const tidy = (text: string): string => text.replace(/[ \t]+$/gm, '').trim();
  const pattern = tidy(said)
    .split('...')
    .map((part) => RegExp.escape(part).replace(/(?:\\x20| ){2,}/g, ' +'))
    .join('[\\s\\S]*');
  return new RegExp(`^${pattern}$`).test(tidy(found));
}

function replaced(text: string, replace: Readonly<Record<string, string>>): string {
  const names = Object.keys(replace).sort((a, b) => b.length - a.length);
  if (names.length === 0) return text;
  return text.replace(new RegExp(names.map((name) => RegExp.escape(name)).join('|'), 'g'), (name) => replace[name] ?? name);
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** Prints what the script prints on both outputs: on standard error when it fails, for the message. */
function withBothOutputs(script: string): string {
  return `said=$(mktemp)
status=0
bash -c ${quoted(`set -eu\n${script}`)} >"$said" 2>&1 || status=$?
if [ $status = 0 ]; then cat "$said"; else cat "$said" >&2; fi
rm "$said"
exit $status`;
}

async function shell(t: ExecutionContext, script: string, {machine, timeoutMs = 60_000}: DocumentOptions, where: string): Promise<string> {
  try {
    return await machine.shell(withBothOutputs(script), {timeoutMs});
  } catch (error) {
    if (error instanceof CommandError) t.log(`${where}: ${script}\n${error.stderr}`);
    throw error;
  }
}

/** Prints the id of its process group when it has printed the word. */
function beginning(script: string, word: string): string {
  return `said=$(mktemp)
setsid bash -c ${quoted(script)} >"$said" 2>&1 </dev/null &
for attempt in $(seq 300); do
  ! grep -q ${quoted(word)} "$said" || break
  kill -0 $! 2>/dev/null && [ $attempt -lt 300 ] || { cat "$said"; exit 1; }
  sleep 0.1
done
rm "$said"
echo $!`;
}

function ending(pid: string): string {
  return `kill -- -${pid}\nwhile kill -0 -- -${pid} 2>/dev/null; do sleep 0.1; done`;
}

/** @param name of the document, from the top of the project. @returns how many commands and blocks of commands were run */
export async function runDocument(t: ExecutionContext, name: string, options: DocumentOptions): Promise<number> {
  const document = await readFile(fileURLToPath(new URL(`../../${name}`, import.meta.url)), 'utf8');
  let count = 0;
  let goesOn: string | undefined;
  const end = async (): Promise<void> => {
    if (goesOn !== undefined) await shell(t, ending(goesOn), options, `${name}: the end of a program`);
    goesOn = undefined;
  };
  for (const {language, attributes, text, line} of blocksOf(document)) {
    const needed = attributes.get('needs');
    if (needed !== undefined && options.has?.includes(needed) !== true) continue;
    const content = replaced(text, options.replace);
    const where = `${name}:${line}`;
    const file = attributes.get('file');
    if (file !== undefined) {
      await options.machine.write(replaced(file, options.replace), `${content}\n`);
    } else if (language === 'sh' && attributes.has('until')) {
      await end();
      goesOn = (await shell(t, beginning(content, attributes.get('until') ?? ''), options, where)).trim();
      count += 1;
    } else if (language === 'sh') {
      await shell(t, content, options, where);
      count += 1;
    } else if (language === 'console') {
      for (const {command, output} of stepsOf(content)) {
        const found = await shell(t, command, options, where);
        if (output !== null) t.true(isOutput(found, output), `${where}: ${command}\nprints\n${found}\nand not\n${output}`);
        count += 1;
      }
    }
  }
  await end();
  return count;
}
