/** What the program tells of itself: topics, manual pages, completion. */
import {writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import test from 'ava';
import {buildProgram} from '../../src/cli/commands/program.ts';
import {expectedNext} from '../../src/cli/completion/candidates.ts';
import {completionScript, shells} from '../../src/cli/completion/scripts.ts';
import {topicText} from '../../src/cli/help.ts';
import {configurationPage, programPage} from '../../src/cli/manual.ts';
import {partsOf} from '../../src/cli/markdown.ts';
import {readTopic, topicNames} from '../../src/cli/topics.ts';
import {CommandError, run} from '../../src/core/command.ts';
import {runProgram} from '../helpers/run-program.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';

const binaries = fileURLToPath(new URL('../../bin', import.meta.url));

function next(...words: readonly string[]): readonly string[] {
  return expectedNext(buildProgram(), words).candidates.map(({text}) => text);
}

test('what may come next is known from the tree of commands', (t) => {
  t.deepEqual(next('hib'), ['hibernate']);
  t.deepEqual(next('workers', ''), ['list', 'forget']);
  t.deepEqual(next('hibernate', 'a', '--c'), ['--cold']);
  t.deepEqual(next('completion', ''), ['bash', 'zsh', 'fish']);
  t.deepEqual(next('exec', 'a', '--', ''), []);
  t.true(next('').includes('apps') && !next('').includes('__complete'));
  const program = buildProgram();
  const kinds = [
    ['show', ''],
    ['drain', ''],
    ['image', 'show', ''],
    ['events', '--app', ''],
    ['apps', '-f', ''],
    ['wake', 'a', ''],
  ] as const;
  t.deepEqual(
    kinds.map((words) => expectedNext(program, words)).map(({names, files}) => (files ? 'files' : names)),
    ['app', 'worker', 'image', 'app', 'files', null],
  );
});

/** In a home of its own: fish writes there. */
async function saidBy(argv: readonly [string, ...string[]], input: string): Promise<string> {
  await using home = await temporaryDirectory();
  const env = {
    ...process.env,
    PATH: `${binaries}:${process.env['PATH'] ?? ''}`,
    PICOGATE_CONFIG: '/nonexistent',
    HOME: home.path,
    XDG_CONFIG_HOME: home.path,
    XDG_DATA_HOME: home.path,
  };
  try {
    return (await run(argv, {timeoutMs: 20_000, input, env})).stdout;
  } catch (error) {
    if (error instanceof CommandError && error.code === 'ERR_COMMAND_MISSING') return 'missing';
    throw error;
  }
}

test('real shells read the scripts, and complete with them', async (t) => {
  await using directory = await temporaryDirectory();
  for (const shell of shells) {
    const script = join(directory.path, shell);
    await writeFile(script, completionScript(shell));
    t.is((await saidBy([shell, '-n', script], '')).replace('missing', ''), '', shell);
  }
  const bash = await saidBy(
    ['bash'],
    `${completionScript('bash')}
complete -p picogate
for words in 'hib' 'hibernate --co' 'show '; do
  COMP_WORDS=(picogate \${words% }); [[ $words == *' ' ]] && COMP_WORDS+=('')
  COMP_CWORD=$((\${#COMP_WORDS[@]} - 1)); _picogate; echo "\${COMPREPLY[*]}."
done`,
  );
  t.is(bash, 'complete -F _picogate picogate\nhibernate.\n--cold.\n.\n');
  const fish = await saidBy(['fish', '--no-config', '-c', `source ${join(directory.path, 'fish')}; complete -C 'picogate hib'`], '');
  if (fish !== 'missing') t.is(fish, 'hibernate\tput an app to sleep now\n');
});

test('every topic has a title, and fits a narrow terminal', async (t) => {
  const names = await topicNames();
  for (const name of ['configuration', 'exit-status', 'images', 'security', 'sleep', 'states', 'storage', 'troubleshooting', 'wake', 'workers'])
    t.true(names.includes(name), name);
  for (const name of names) {
    const topic = await readTopic(name);
    t.regex(topic?.title ?? '', /^[A-Z]/, name);
    const body = topic?.body ?? '';
    const isCode = (line: string): boolean => line.startsWith('    ');
    for (const line of topicText(body, 60).split('\n')) t.true(line.length <= 60 || isCode(line), `${name}: ${line}`);
  }
  t.is(await readTopic('../main'), null);
  const [topic, command, unknown] = await Promise.all([
    runProgram(['help', 'exit-status']),
    runProgram(['help', 'workers', 'forget']),
    runProgram(['help', 'nonsense']),
  ]);
  t.regex(topic.stdout, /^Exit statuses\n\n- 0: done;/);
  t.regex(command.stdout, /^Usage: picogate workers forget \[options\] <worker>/);
  t.deepEqual([unknown.exitCode, /the topics are configuration, exit-status,/.test(unknown.stderr)], [1, true]);
});

test('texts are parts: headings, paragraphs, lists, code and rows of tables', (t) => {
  t.deepEqual(partsOf('# A\none\ntwo\n\n    code\n\n    more\n- x\n  y\n- z\n\n```sh\nq\n```\n| a | b\\|c |\n|---|---|\n'), [
    {kind: 'heading', level: 1, text: 'A'},
    {kind: 'paragraph', text: 'one two'},
    {kind: 'code', lines: ['code', '', 'more']},
    {kind: 'item', text: 'x y'},
    {kind: 'item', text: 'z'},
    {kind: 'code', lines: ['q']},
    {kind: 'row', cells: ['a', 'b|c']},
  ]);
});

test('the manual pages hold every command, topic and keyword, and mandoc finds nothing wrong with them', async (t) => {
  const pages = [await programPage(buildProgram()), configurationPage()];
  for (const text of ['picogate workers forget worker', 'picogate exec app command...', 'Exit statuses', '\\-\\-watch [seconds]'])
    t.true(pages[0]?.includes(text), text);
  for (const text of ['hibernate\\-after', 'set\\-dst']) t.true(pages[1]?.includes(text), text);
  for (const content of pages) {
    const said = await saidBy(['sh', '-c', 'command -v mandoc >/dev/null || exit 0; mandoc -T lint -W warning | grep -v "missing date" || true'], content);
    t.is(said, '');
  }
});
