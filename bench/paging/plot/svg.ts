/** The few elements of SVG that a plot needs, as text. */

type Attributes = Readonly<Record<string, string | number>>;

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}

export function element(name: string, attributes: Attributes, content = ''): string {
  const written = Object.entries(attributes).map(([key, value]) => ` ${key}="${typeof value === 'number' ? Number(value.toFixed(2)) : escaped(value)}"`);
  return content === '' ? `<${name}${written.join('')}/>` : `<${name}${written.join('')}>${content}</${name}>`;
}

export function text(content: string, attributes: Attributes): string {
  return element('text', attributes, escaped(content));
}

export interface Point {
  readonly x: number;
  readonly y: number;
}

export function line(from: Point, to: Point, attributes: Attributes): string {
  return element('line', {x1: from.x, y1: from.y, x2: to.x, y2: to.y, ...attributes});
}

export function polyline(points: readonly Point[], attributes: Attributes): string {
  return element('polyline', {points: points.map(({x, y}) => `${x.toFixed(2)},${y.toFixed(2)}`).join(' '), fill: 'none', ...attributes});
}

/** A whole file, white behind. */
export function document({width, height}: {readonly width: number; readonly height: number}, content: readonly string[]): string {
  const background = element('rect', {width, height, fill: '#ffffff'});
  const attributes = {
    xmlns: 'http://www.w3.org/2000/svg',
    width,
    height,
    viewBox: `0 0 ${width} ${height}`,
    'font-family': 'DejaVu Sans, Helvetica, Arial, sans-serif',
  };
  return `<?xml version="1.0" encoding="UTF-8"?>\n${element('svg', attributes, `\n${[background, ...content].join('\n')}\n`)}\n`;
}
