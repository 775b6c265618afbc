/** What the documents show is there: commands and their options, configurations, files that are linked, messages. Nothing is run. */
import {existsSync, globSync, readFileSync} from 'node:fs';
import {basename, dirname, join} from 'node:path';
import test from 'ava';
import {checkFiles} from '../../src/config/load.ts';
import {blocksOf} from '../helpers/document.ts';
import {commandsInSentences, isComplete, readDocuments, top} from '../helpers/document-commands.ts';

const documents = readDocuments();

/** Blocks that are set apart by blanks, without these; one is as long as no line of text comes between. */
function indentedBlocks(text: string): string[] {
  return [...text.matchAll(/(?<=\n\n)(?: {4,}\S.*\n(?:\n(?= {4}))?)+/g)].map(([block]) => {
    const indent = Math.min(...[...block.matchAll(/^ +(?=\S)/gm)].map(([blanks]) => blanks.length));
    return block.replace(new RegExp(`^ {${indent}}`, 'gm'), '');
  });
}

/** Of the program, without its name. Forms with alternatives in brackets are no command lines. */
function linesInBlocks(text: string): string[] {
  return [...text.matchAll(/^(?: {4,}|[#$] )?(?:bin\/)?picogate (.+)$/gm)]
    .map(([, words = '']) => words.replace(/(?:\s+#| \||&&).*$/, '').trim())
    .filter((line) => !/[[\]|]/.test(line));
}

test('commands have the names, options and arguments that documents give them', (t) => {
  const refused: string[] = [];
  let count = 0;
  // Decisions tell of what was not built, too.
  for (const {name, text} of documents.filter((document) => basename(document.name) !== 'decisions.md')) {
    const inSentences = commandsInSentences(text).flatMap((command) => (command.startsWith('picogate ') ? [command.slice('picogate '.length)] : []));
    for (const {lines, isNamed} of [
      {lines: linesInBlocks(text), isNamed: false},
      {lines: inSentences, isNamed: true},
    ]) {
      for (const line of lines) {
        count += 1;
        try {
          if (!isComplete(line) && !isNamed) refused.push(`${name}: picogate ${line}: an argument is missing`);
        } catch (error) {
          refused.push(`${name}: picogate ${line}: ${String(error)}`);
        }
      }
    }
  }
  t.deepEqual(refused, []);
  t.true(count > 100, `${count} commands were found`);
});

/** What the text around a piece of a configuration has shown before. */
const usual = {
  defaults: 'defaults\n    mode http\n    timeout connect 5s\n    timeout client 1h\n    timeout server 1h\n    timeout wake 20s\n',
  app: 'app wiki\n    rootfs /srv/images/wiki\n    exec /usr/sbin/nginx\n    expose tcp 80\n',
} as const;

test('configurations are valid', (t) => {
  let count = 0;
  for (const {name, text} of documents) {
    const fenced = blocksOf(text).flatMap((block) => (block.language === 'haproxy' ? [block.text] : []));
    for (const block of [...indentedBlocks(text), ...fenced]) {
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
