/** The verdict, valid or not, is HAProxy's: the program itself is asked about each line and each file. */
import {existsSync, readdirSync, readFileSync} from 'node:fs';
import {writeFile} from 'node:fs/promises';
import {dirname, join} from 'node:path';
import test from 'ava';
import {loadConfig} from '../../src/config/load.ts';
import {CommandError, run} from '../../src/core/command.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';
import {differences} from './haproxy-differences.ts';

const haproxy = '/usr/sbin/haproxy';
const haproxyTest = existsSync(haproxy) ? test : test.skip;
const atOnce = 4;

type Place = 'frontend' | 'backend' | 'global' | 'file';

interface Case {
  readonly place: Place;
  readonly line: string;
}

function configurationOf({place, line}: Case): string {
  const lines = line.replaceAll(';;', '\n');
  if (place === 'file') return `${lines}\n`;
  const at = (wanted: Place): string => (place === wanted ? lines : '');
  return `global
${at('global')}
defaults
    mode http
    timeout client 1s
    timeout server 1s
    timeout connect 1s
frontend f
    bind 127.0.0.1:8999
    default_backend b
${at('frontend')}
backend b
${at('backend')}
    server s1 127.0.0.1:80
`;
}

function readCases(): readonly Case[] {
  let place: Place = 'file';
  const cases: Case[] = [];
  for (const line of readFileSync(join(import.meta.dirname, 'haproxy-lines.txt'), 'utf8').split('\n')) {
    const heading = /^== (frontend|backend|global|file)$/.exec(line)?.[1];
    if (heading === 'frontend' || heading === 'backend' || heading === 'global' || heading === 'file') place = heading;
    else if (line !== '' && !line.startsWith('#')) cases.push({place, line});
  }
  return cases;
}

/** In the directory of the file, where some of its look-ups of relative paths start whatever `default-path` says. */
async function haproxyAccepts(path: string): Promise<boolean> {
  try {
    await run([haproxy, '-c', '-q', '-f', path], {timeoutMs: 10_000, cwd: dirname(path)});
    return true;
  } catch (error) {
    if (error instanceof CommandError && (error.exitCode === 1 || error.exitCode === 2)) return false; // 2: nothing to do.
    throw error;
  }
}

async function weAccept(path: string): Promise<boolean> {
  return (await loadConfig([path], {env: {}})).config !== null;
}

async function forAll<Item>(items: readonly Item[], work: (item: Item, index: number) => Promise<void>): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let index = next++; index < items.length; index = next++) {
      const item = items[index];
      if (item !== undefined) await work(item, index);
    }
  };
  await Promise.all(Array.from({length: atOnce}, worker));
}

haproxyTest('loadConfig() judges every line as HAProxy does, but for the differences that are written down', async (t) => {
  await using directory = await temporaryDirectory();
  const wrong: string[] = [];
  await forAll(readCases(), async (item, index) => {
    const path = join(directory.path, `${index}.cfg`);
    await writeFile(path, configurationOf(item));
    const [theirs, ours] = await Promise.all([haproxyAccepts(path), weAccept(path)]);
    const differs = differences.has(item.line);
    if ((theirs !== ours) !== differs) wrong.push(`${item.place}: ${item.line}: HAProxy says ${theirs}, this program ${ours}`);
  });
  t.deepEqual(wrong, []);
});

test('every difference is about a line of the list', (t) => {
  const lines = new Set(readCases().map(({line}) => line));
  t.deepEqual(
    [...differences.keys()].filter((line) => !lines.has(line)),
    [],
  );
});

/** Golden files in HAProxy's language alone. */
const golden = join(import.meta.dirname, 'golden');
const goldenNames = readdirSync(golden).filter((name) => /^haproxy-.*\.cfg$/.test(name));

for (const name of goldenNames) {
  haproxyTest(`loadConfig() judges golden ${name} as HAProxy does`, async (t) => {
    const path = join(golden, name);
    t.is(await weAccept(path), await haproxyAccepts(path));
  });
}
