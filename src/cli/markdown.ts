/** The little of Markdown that our own texts use: paragraphs, lists, `code`, indented and fenced code, headings, tables. */

export type Part =
  | {readonly kind: 'heading'; readonly level: number; readonly text: string}
  | {readonly kind: 'paragraph' | 'item'; readonly text: string}
  | {readonly kind: 'code'; readonly lines: readonly string[]}
  | {readonly kind: 'row'; readonly cells: readonly string[]};

export function partsOf(markdown: string): Part[] {
  const parts: Part[] = [];
  let open: {kind: 'paragraph' | 'item'; lines: string[]} | null = null;
  let code: string[] | null = null;
  let fenced = false;
  const close = (): void => {
    if (open !== null) parts.push({kind: open.kind, text: open.lines.join(' ')});
    if (code !== null) parts.push({kind: 'code', lines: trimmed(code)});
    open = null;
    code = null;
  };
  for (const line of markdown.split('\n')) {
    if (line.startsWith('```')) {
      close();
      fenced = !fenced;
      code = fenced ? [] : null;
    } else if (code !== null && (fenced || line.startsWith('    ') || line.trim() === '')) {
      code.push(fenced ? line : line.slice(4));
    } else if (open === null && line.startsWith('    ')) {
      close();
      code = [line.slice(4)];
    } else {
      const next = partOfLine(line);
      if (next === null && open !== null) {
        open.lines.push(line.trim());
        continue;
      }
      if (next !== null) close();
      if (next === null) open = {kind: 'paragraph', lines: [line.trim()]};
      else if (next.kind === 'item') open = {kind: 'item', lines: [next.text]};
      else if (next.kind !== 'blank') parts.push(next);
    }
  }
  close();
  return parts;
}

/** Null: it belongs to the text before, or begins one. */
function partOfLine(line: string): Part | {readonly kind: 'blank'} | null {
  if (line.trim() === '') return {kind: 'blank'};
  const heading = /^(#+) (.*)$/.exec(line);
  if (heading !== null) return {kind: 'heading', level: heading[1]?.length ?? 1, text: heading[2] ?? ''};
  const item = /^ *[-*] (.*)$/.exec(line);
  if (item !== null) return {kind: 'item', text: item[1] ?? ''};
  if (/^\|[-| :]+\|$/.test(line)) return {kind: 'blank'};
  if (!line.startsWith('|')) return null;
  return {
    kind: 'row',
    cells: line
      .slice(1, -1)
      .split(/(?<!\\)\|/)
      .map((cell) => cell.trim().replaceAll('\\|', '|')),
  };
}

function trimmed(lines: readonly string[]): string[] {
  const last = lines.findLastIndex((line) => line.trim() !== '');
  return lines.slice(0, last + 1);
}
