import {readFile} from 'node:fs/promises';
import {createRequire} from 'node:module';
import type {Page} from 'playwright-core';

const axePath = createRequire(import.meta.url).resolve('axe-core/axe.min.js');

/** What axe finds wrong with a page: names, roles, contrast, structure. */
export async function violations(page: Page): Promise<readonly string[]> {
  // The policy of the page lets no script in; the debugger may.
  await page.evaluate(await readFile(axePath, 'utf8'));
  const found = await page.evaluate<{violations: {id: string; nodes: {html: string}[]}[]}>('axe.run()');
  return found.violations.map(({id, nodes}) => `${id}: ${nodes.map(({html}) => html.slice(0, 160)).join(' | ')}`);
}
