import {mkdir, writeFile} from 'node:fs/promises';
import {dirname} from 'node:path';
import {run} from '../../../src/core/command.ts';
import {errorMessage} from '../../../src/core/errors.ts';
import {type Figure, renderFigure} from './figure.ts';

const timeoutMs = 60_000;

/** Writes `<path>.svg`, and `<path>.png` where rsvg-convert is installed. @returns what to tell people */
export async function writeFigure(path: string, figure: Figure): Promise<string> {
  await mkdir(dirname(path), {recursive: true});
  await writeFile(`${path}.svg`, renderFigure(figure));
  try {
    await run(['rsvg-convert', '--zoom', '2', '--output', `${path}.png`, `${path}.svg`], {timeoutMs});
    return `Plot: ${path}.svg, ${path}.png`;
  } catch (error) {
    // The samples and the SVG are there; only the picture of it is not.
    return `Plot: ${path}.svg (no PNG: ${errorMessage(error)})`;
  }
}
