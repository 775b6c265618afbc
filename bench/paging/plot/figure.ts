/** Panels beside and below each other, with one legend for all. */
import {dashes, type Panel, panelSize, renderPanel, type Series} from './panel.ts';
import {document, line, text} from './svg.ts';

const columns = 2;
const heading = {height: 56, fontSize: 20, left: 20, baseline: 36} as const;
const legend = {rowHeight: 24, columnWidth: 300, left: 40, swatch: 44, fontSize: 14} as const;

export interface Figure {
  readonly title: string;
  /** Said below the legend. */
  readonly footnote: string;
  readonly panels: readonly Panel[];
}

export function renderFigure({title, footnote, panels}: Figure): string {
  const rows = Math.ceil(panels.length / columns);
  const width = panelSize.width * Math.min(columns, Math.max(1, panels.length));
  const entries = namedSeries(panels);
  const perRow = Math.max(1, Math.floor((width - legend.left) / legend.columnWidth));
  const legendTop = heading.height + rows * panelSize.height;
  const height = legendTop + (Math.ceil(entries.length / perRow) + 1.5) * legend.rowHeight;
  return document({width, height}, [
    text(title, {x: heading.left, y: heading.baseline, 'font-size': heading.fontSize, 'font-weight': 'bold', fill: '#222222'}),
    ...panels.map((panel, at) => renderPanel(panel, {x: (at % columns) * panelSize.width, y: heading.height + Math.floor(at / columns) * panelSize.height})),
    ...entries.flatMap((series, at) => {
      const x = legend.left + (at % perRow) * legend.columnWidth;
      const y = legendTop + (Math.floor(at / perRow) + 0.5) * legend.rowHeight;
      const stroke = {stroke: series.colour, 'stroke-width': 2.6, ...(series.dashed && {'stroke-dasharray': dashes})};
      return [
        line({x, y}, {x: x + legend.swatch, y}, stroke),
        text(series.name, {x: x + legend.swatch + 8, y: y + 5, 'font-size': legend.fontSize, fill: '#222222'}),
      ];
    }),
    text(footnote, {x: legend.left, y: height - legend.rowHeight * 0.5, 'font-size': legend.fontSize, fill: '#555555'}),
  ]);
}

/** Each name once, also when several panels have it. */
function namedSeries(panels: readonly Panel[]): Series[] {
  const found = new Map<string, Series>();
  for (const {series} of panels) for (const one of series) if (one.points.length > 0 && !found.has(one.name)) found.set(one.name, one);
  return [...found.values()];
}
