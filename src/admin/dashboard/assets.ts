/**
 * The files of the dashboard: ours, and those of the npm packages that it uses, as they are. They are read when somebody looks for the first time, and
 * then served from memory. Modules name each other by names, which become addresses here: a browser takes no others from a page without a script in it.
 */
import {createHash} from 'node:crypto';
import {readFile} from 'node:fs/promises';
import {createRequire} from 'node:module';
import {dirname, join} from 'node:path';
import {escapeHtml} from '../html.ts';

export interface Asset {
  readonly contentType: string;
  readonly body: Buffer;
  readonly etag: string;
}

const require = createRequire(import.meta.url);
const ours = (name: string): string => join(import.meta.dirname, 'assets', name);

/** By the name that each has in its address; what has a slash is not ours. */
const files: Readonly<Record<string, () => string>> = {
  'page.html': () => ours('page.html'),
  'style.css': () => ours('style.css'),
  'icon.svg': () => ours('icon.svg'),
  'main.js': () => ours('main.js'),
  'model.js': () => ours('model.js'),
  'format.js': () => ours('format.js'),
  'html.js': () => ours('html.js'),
  'overview.js': () => ours('overview.js'),
  'apps.js': () => ours('apps.js'),
  'app.js': () => ours('app.js'),
  'pictures.js': () => ours('pictures.js'),
  'proxies.js': () => ours('proxies.js'),
  'preact.js': () => require.resolve('preact'),
  'hooks.js': () => require.resolve('preact/hooks'),
  'htm.js': () => join(dirname(require.resolve('htm')), 'htm.module.js'),
  'uplot.js': () => join(dirname(require.resolve('uplot')), 'uPlot.iife.min.js'),
  'uplot.css': () => join(dirname(require.resolve('uplot')), 'uPlot.min.css'),
};

/** Which file a module means by the name of a package. */
const packages: Readonly<Record<string, string>> = {preact: 'preact.js', 'preact/hooks': 'hooks.js', htm: 'htm.js'};

const types: Readonly<Record<string, string>> = {
  html: 'text/html; charset=utf-8',
  css: 'text/css; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  svg: 'image/svg+xml',
};

export class Assets {
  readonly #loaded = new Map<string, Promise<Asset>>();

  has(name: string): boolean {
    return Object.hasOwn(files, name);
  }

  /** @param base what comes before the name in the address of each file. @throws Error when it cannot be read */
  get(name: string, base: string): Promise<Asset> {
    const key = `${base}${name}`;
    const found = this.#loaded.get(key);
    if (found !== undefined) return found;
    const loading = load(name, base);
    this.#loaded.set(key, loading);
    loading.catch(() => this.#loaded.delete(key)); // The caller hears of it.
    return loading;
  }
}

async function load(name: string, base: string): Promise<Asset> {
  const text = await readFile(files[name]?.() ?? name, 'utf8');
  const extension = name.slice(name.lastIndexOf('.') + 1);
  const body = Buffer.from(extension === 'js' ? withAddresses(text, base) : extension === 'html' ? text.replaceAll('{{base}}', escapeHtml(base)) : text);
  const etag = `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`;
  return {contentType: types[extension] ?? 'application/octet-stream', body, etag};
}

/** `from"preact"` and `import './format.js'` become addresses; the map for a debugger is left out. */
function withAddresses(module: string, base: string): string {
  return module
    .replace(/\n\/\/# sourceMappingURL=.*\s*$/, '\n')
    .replace(/\b(from|import)(\s*)(["'])(\.\/[\w-]+\.js|[a-z]+(?:\/[a-z]+)?)\3/g, (whole, word: string, space: string, quote: string, specifier: string) => {
      const file = specifier.startsWith('./') ? specifier.slice(2) : packages[specifier];
      return file === undefined ? whole : `${word}${space}${quote}${base}${file}${quote}`;
    });
}
