/** An address space as rows of characters, one for each block, the fuller the more of its pages are expected. */
import {styleText} from 'node:util';

export interface PicturedProcess {
  readonly blockBytes: number;
  /** Address and number of pages, in order. */
  readonly blocks: readonly (readonly [address: number, pages: number])[];
}

const rowBlocks = 64;
/** A longer gap begins a new row. */
const gapBlocks = 16;
const pageBytes = 4096;
const shades = [
  {mark: '░', colour: 'blue'},
  {mark: '▒', colour: 'cyan'},
  {mark: '▓', colour: 'green'},
  {mark: '█', colour: 'yellow'},
] as const;
const nothing = '·';

/** @returns lines such as `7f2a10000000-7f2a10060000  ██░`: from the first block of the row to the end of its last */
export function addressPicture({blocks, blockBytes}: PicturedProcess, {colours}: {readonly colours: boolean}): readonly string[] {
  const rows: (readonly [address: number, pages: number])[][] = [];
  for (const block of blocks) {
    const row = rows.at(-1);
    const [first, last] = [row?.[0]?.[0] ?? 0, row?.at(-1)?.[0] ?? 0];
    const fits = block[0] - last <= gapBlocks * blockBytes && block[0] - first < rowBlocks * blockBytes;
    if (row !== undefined && fits) row.push(block);
    else rows.push([block]);
  }
  return rows.map((row) => drawnRow(row, blockBytes, colours));
}

function drawnRow(row: readonly (readonly [address: number, pages: number])[], blockBytes: number, colours: boolean): string {
  const start = row[0]?.[0] ?? 0;
  const end = (row.at(-1)?.[0] ?? 0) + blockBytes;
  const pages = new Map(row);
  let picture = '';
  for (let address = start; address < end; address += blockBytes) {
    const share = ((pages.get(address) ?? 0) * pageBytes) / blockBytes;
    const shade = shades[Math.ceil(share * shades.length) - 1];
    if (shade === undefined) picture += colours ? styleText('dim', nothing, {validateStream: false}) : nothing;
    else picture += colours ? styleText(shade.colour, shade.mark, {validateStream: false}) : shade.mark;
  }
  return `${start.toString(16).padStart(12)}-${end.toString(16).padEnd(12)}  ${picture}`;
}

export const pictureLegend = `each character is 128 KiB: ${nothing} nothing expected, ${shades.map(({mark}, at) => `${mark} up to ${8 * (at + 1)}`).join(', ')} of 32 pages`;
