/** Text for man(1): the man macros, from Markdown and from tables of options. */
import {type Part, partsOf} from './markdown.ts';

/** Nothing in it is special to roff. */
export function plain(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replace(/^([.'])/gm, '\\&$1');
}

/** With `code` in bold, **strong** too, and links as their text. */
export function inline(text: string): string {
  const linked = text.replace(/\[([^\]]*)\]\([^)]*\)/g, '$1');
  const spans = linked.split(/(`+[^`]+`+|\*\*[^*]+\*\*)/);
  const line = spans
    .map((span, at) => (at % 2 === 0 ? plain(span).replace(/^\\&/, '') : `\\fB${plain(span.replace(/^(?:`+|\*\*)|(?:`+|\*\*)$/g, ''))}\\fR`))
    .join('');
  return line.replace(/^([.'])/, '\\&$1');
}

function partRoff(part: Part, headingMacro: string): string {
  switch (part.kind) {
    case 'heading':
      return `${part.level === 1 ? headingMacro : '.SS'} "${plain(part.text.replaceAll('`', '')).replaceAll('"', '\\(dq')}"\n`;
    case 'paragraph':
      return `.PP\n${inline(part.text)}\n`;
    case 'item':
      return `.IP \\(bu 2\n${inline(part.text)}\n`;
    case 'code':
      return `.PP\n.RS 4\n.nf\n${part.lines.map((line) => (line === '' ? '\\&' : plain(line))).join('\n')}\n.fi\n.RE\n`;
    case 'row':
      return `.TP\n${inline(part.cells[0] ?? '')}\n${part.cells.slice(1).map(inline).join('; ')}\n`;
    default:
      return part satisfies never;
  }
}

export function markdownRoff(markdown: string, {headingMacro}: {readonly headingMacro: '.SH' | '.SS'}): string {
  return partsOf(markdown)
    .map((part) => partRoff(part, headingMacro))
    .join('');
}

export function section(title: string, content: string): string {
  return `.SH ${plain(title.toUpperCase())}\n${content}`;
}

/** @param name of the page, with its section */
export function page({name, section: number, summary}: {readonly name: string; readonly section: number; readonly summary: string}, content: string): string {
  return `.TH ${plain(name.toUpperCase())} ${number} "" Picogate\n.SH NAME\n${plain(name)} \\- ${inline(summary)}\n${content.replace(/^(\.S[HS] .*\n)\.PP\n/gm, '$1')}`;
}
