/** Enforces tools/import-rules.ts, and that no files import each other in a circle. Part of `npm run check`. */
import {readdir, readFile} from 'node:fs/promises';
import {builtinModules} from 'node:module';
import {dirname, join, normalize} from 'node:path';
import ts from 'typescript';
import {errorCode} from '../src/core/errors.ts';
import {builtinRules, folderEdges, type ModuleRule, packageRules} from './import-rules.ts';

/** One import: both paths are relative to the repository; `target` is a file of ours, a package, or a module of Node (`node:fs`). */
export interface Import {
  readonly file: string;
  readonly target: string;
  readonly kind: 'file' | 'package' | 'builtin';
}

const roots = ['src', 'test', 'bench', 'tools'] as const;

/** `src/core/errors.ts` belongs to `src/core`, `test/nat/nat.test.ts` to `test`. */
function folderOf(file: string): string {
  const [first = '', second = ''] = file.split('/');
  return first === 'src' ? `src/${second}` : first;
}

export function importsOf(file: string, text: string): Import[] {
  return ts.preProcessFile(text, true, true).importedFiles.map(({fileName}) => {
    if (fileName.startsWith('.')) return {file, target: normalize(join(dirname(file), fileName)), kind: 'file'};
    if (fileName.startsWith('node:') || builtinModules.includes(fileName)) return {file, target: fileName, kind: 'builtin'};
    return {file, target: fileName.split('/', fileName.startsWith('@') ? 2 : 1).join('/'), kind: 'package'};
  });
}

/** What is wrong with one import, or null. */
export function objectionTo({file, target, kind}: Import): string | null {
  switch (kind) {
    case 'builtin': {
      if (!target.startsWith('node:')) return `${file}: write "node:${target}"`;
      const rule = builtinRules.find(({name}) => name === target);
      return rule === undefined ? null : objectionByRule(file, rule);
    }
    case 'package': {
      const rule = packageRules.find(({name}) => name === target);
      return rule === undefined ? `${file}: package "${target}" is not in tools/import-rules.ts` : objectionByRule(file, rule);
    }
    case 'file': {
      const from = folderOf(file);
      const to = folderOf(target);
      if (from === to || to === 'src/core') return null;
      if (target === 'package.json') return null;
      return folderEdges.some((edge) => edge.from === from && edge.to.includes(to)) ? null : `${file}: ${from} may not import from ${to} (${target})`;
    }
    default:
      return kind satisfies never;
  }
}

function objectionByRule(file: string, {name, importers, why}: ModuleRule): string | null {
  if (importers.some((importer) => file === importer || file.startsWith(`${importer}/`))) return null;
  return `${file}: only ${importers.join(', ') || 'nothing'} may import "${name}": ${why}`;
}

/** Circles among files, each once, as the list of its files. */
export function circles(imports: readonly Import[]): string[][] {
  const targets = new Map<string, string[]>();
  for (const {file, target, kind} of imports) if (kind === 'file') targets.set(file, [...(targets.get(file) ?? []), target]);
  const found: string[][] = [];
  const finished = new Set<string>();
  const visit = (file: string, path: readonly string[]): void => {
    const start = path.indexOf(file);
    if (start !== -1) found.push(path.slice(start));
    if (start !== -1 || finished.has(file)) return;
    for (const target of targets.get(file) ?? []) visit(target, [...path, file]);
    finished.add(file);
  };
  for (const file of targets.keys()) visit(file, []);
  return found;
}

async function sourceFiles(root: string): Promise<string[]> {
  const entries = await readdir(root, {recursive: true, withFileTypes: true}).catch((error: unknown) => {
    if (errorCode(error) === 'ENOENT') return [];
    throw error;
  });
  return entries.filter((entry) => entry.isFile() && /\.[cm]?[jt]s$/.test(entry.name)).map((entry) => join(entry.parentPath, entry.name));
}

async function main(): Promise<void> {
  const files = (await Promise.all(roots.map(sourceFiles))).flat();
  const imports = (await Promise.all(files.map(async (file) => importsOf(file, await readFile(file, 'utf8'))))).flat();
  const objections = [
    ...imports.map(objectionTo).filter((objection) => objection !== null),
    ...circles(imports).map((circle) => `${circle[0] ?? ''}: imports itself through ${circle.slice(1).join(' -> ')}`),
  ];
  for (const objection of objections) process.stderr.write(`${objection}\n`);
  process.stdout.write(`imports: ${imports.length} in ${files.length} files, ${objections.length} not allowed\n`);
  if (objections.length > 0) process.exitCode = 1;
}

if (import.meta.main) {
  process.chdir(join(import.meta.dirname, '..'));
  await main();
}
