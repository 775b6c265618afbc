/** What the documents show is there: commands and their options, configurations, files that are linked, messages. Nothing is run. */
import {existsSync, globSync, readFileSync} from 'node:fs';
import {basename, dirname, join} from 'node:path';
import test from 'ava';
import {buildProgram} from '../../src/cli/commands/program.ts';
import {isHaproxyCommandLine, parseHaproxyArguments} from '../../src/cli/haproxy-arguments.ts';
import {checkFiles} from '../../src/config/load.ts';
import {errorCode} from '../../src/core/errors.ts';

type Command = ReturnType<typeof buildProgram>;

const top = join(import.meta.dirname, '../..');
const documents = ['README.md', ...globSync('docs/*.md', {cwd: top})].map((name) => ({name, text: readFileSync(join(top, name), 'utf8')}));

/** Blocks that are set apart by blanks, without these; one is as long as no line of text comes between. */
function indentedBlocks(text: string): string[] {
  return [...text.matchAll(/(?<=\n\n)(?: {4,}\S.*\n(?:\n(?= {4}))?)+/g)].map(([block]) => {
    const indent = Math.min(...[...block.matchAll(/^ +(?=\S)/gm)].map(([blanks]) => blanks.length));
    return block.replace(new RegExp(`^ {${indent}}`, 'gm'), '');
  });
}

interface Shown {
  /** Without the program's name. */
  readonly line: string;
  /** In a sentence, where a command may be named without what it works on. */
  readonly isNamed: boolean;
}

/** Forms with alternatives in brackets are no command lines. */
function commandLines(text: string): Shown[] {
  const inBlocks = [...text.matchAll(/^(?: {4,}|[#$] )(?:bin\/)?picogate (.+)$/gm)].map((match) => ({match, isNamed: false}));
  const inSentences = [...text.matchAll(/`(?:bin\/)?picogate ([^`]+)`/g)].map((match) => ({match, isNamed: true}));
  return [...inBlocks, ...inSentences]
    .map(({match: [, words = ''], isNamed}) => ({line: words.replace(/(?:\s+#| \||&&).*$/, '').trim(), isNamed}))
    .filter(({line}) => !/[[\]|]/.test(line));
}

function wordsOf(line: string): string[] {
  return [...line.matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g)].map(([, single, double, plain]) => single ?? double ?? plain ?? '');
}

/** A program that reads its command line, and does nothing. */
function idle(command: Command): Command {
  command.configureOutput({writeOut: () => undefined, writeErr: () => undefined});
  if (command.commands.length === 0) command.action(() => undefined);
  for (const inner of command.commands) idle(inner);
  return command;
}

test('commands have the names, options and arguments that documents give them', (t) => {
  const refused: string[] = [];
  let count = 0;
  // Decisions tell of what was not built, too.
  for (const {name, text} of documents.filter((document) => basename(document.name) !== 'decisions.md')) {
    for (const {line, isNamed} of commandLines(text)) {
      count += 1;
      try {
        // `events -f` follows, as `tail -f` does.
        const words = wordsOf(line.replace(/^events -f$/, 'events --follow'));
        if (isHaproxyCommandLine(words)) parseHaproxyArguments(words);
        else idle(buildProgram()).parse(words, {from: 'user'});
      } catch (error) {
        if (isNamed && errorCode(error) === 'commander.missingArgument') continue;
        refused.push(`${name}: picogate ${line}: ${String(error)}`);
      }
    }
  }
  t.deepEqual(refused, []);
  t.true(count > 60, `${count} commands were found`);
});

/** What the text around a piece of a configuration has shown before. */
const usual = {
  defaults: 'defaults\n    mode http\n    timeout connect 5s\n    timeout client 1h\n    timeout server 1h\n    timeout wake 20s\n',
  app: 'app wiki\n    rootfs /srv/images/wiki\n    exec /usr/sbin/nginx\n    expose tcp 80\n',
} as const;

test('configurations are valid', (t) => {
  let count = 0;
  for (const {name, text} of documents) {
    for (const block of indentedBlocks(text)) {
      if (!/^(?:global|defaults|app \S+|frontend \S+|backend \S+|listen \S+)(?:\s|$)/.test(block)) continue;
      count += 1;
      // Commands may follow a configuration.
      const shown = block.replace(/^(?:bin\/)?picogate .*$|^systemctl .*$/gm, '');
      const around = `${/^defaults/m.test(shown) ? '' : usual.defaults}${/^app /m.test(shown) ? '' : usual.app}`;
      const {diagnostics} = checkFiles([{path: name, text: `${shown}\n${around}`}], {});
      t.deepEqual(
        diagnostics.filter(({level}) => level === 'alert').map(({message}) => message),
        [],
        block,
      );
    }
  }
  t.true(count >= 5, `${count} configurations were found`);
});

/** As GitHub makes them. */
function anchorsIn(text: string): Set<string> {
  const headings = [...text.matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) => heading);
  return new Set(
    headings.map((heading) =>
      heading
        .toLowerCase()
        .replace(/[^\p{L}\p{N}\- ]/gu, '')
        .replaceAll(' ', '-'),
    ),
  );
}

test('links lead somewhere', (t) => {
  const broken: string[] = [];
  for (const {name, text} of documents) {
    for (const [link, path = '', anchor] of text.matchAll(/\]\(([^()#\s]*)(?:#([^()\s]+))?\)/g)) {
      if (/^\w+:/.test(path)) continue;
      const target = path === '' ? join(top, name) : join(top, dirname(name), path);
      const found = existsSync(target) && (anchor === undefined || anchorsIn(readFileSync(target, 'utf8')).has(anchor));
      if (!found) broken.push(`${name}: ${link}`);
    }
  }
  t.deepEqual(broken, []);
  const readme = documents[0]?.text ?? '';
  t.deepEqual(
    documents.map(({name}) => name).filter((name) => name !== 'README.md' && !readme.includes(`(${name})`)),
    [],
    'the README leads to each document',
  );
});

test('messages that the troubleshooting explains are messages of the program', (t) => {
  const text = documents.find(({name}) => basename(name) === 'troubleshooting.md')?.text ?? '';
  const sources = globSync('src/**/*.ts', {cwd: top}).map((file) => readFileSync(join(top, file), 'utf8'));
  const program = sources.join('\n');
  const messages = [...text.matchAll(/^### `(.+)`$/gm), ...text.matchAll(/"`([^`]+)`"/g)].map(([, message = '']) => message);
  const partsOf = (message: string): string[] => message.split('…').map((part) => part.replace(/^[":;, ]+|[":;, ]+$/g, ''));
  t.deepEqual(
    messages.filter((message) => !partsOf(message).every((part) => program.includes(part))),
    [],
  );
  t.true(messages.length > 30, `${messages.length} messages were found`);
});
