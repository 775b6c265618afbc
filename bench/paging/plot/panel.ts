/** One diagram: two axes with a grid, and curves whose points have a whisker up to a higher value. */
import {type Scale, type ScaleKind, scale} from './scale.ts';
import {element, line, type Point, polyline, text} from './svg.ts';

export interface Axis {
  readonly label: string;
  readonly scale: ScaleKind;
  readonly show: (value: number) => string;
}

export interface Series {
  readonly name: string;
  readonly colour: string;
  readonly dashed: boolean;
  readonly points: readonly {readonly x: number; readonly y: number; readonly high: number}[];
}

export interface Panel {
  readonly title: string;
  readonly x: Axis;
  readonly y: Axis;
  readonly series: readonly Series[];
}

export const panelSize = {width: 640, height: 460} as const;
const margins = {left: 84, right: 24, top: 44, bottom: 64} as const;
const bounds = {
  left: margins.left,
  right: panelSize.width - margins.right,
  top: margins.top,
  bottom: panelSize.height - margins.bottom,
} as const;

const fontSize = {title: 17, label: 15, tick: 13} as const;
const inks = {text: '#222222', grid: '#dddddd', faint: '#eeeeee', frame: '#444444'} as const;
export const dashes = '7 4';

/** @param origin its upper left corner */
export function renderPanel(panel: Panel, origin: Point): string {
  const points = panel.series.flatMap((series) => series.points);
  const x = scale(
    panel.x.scale,
    points.map((point) => point.x),
    [bounds.left, bounds.right],
  );
  const y = scale(
    panel.y.scale,
    points.flatMap((point) => [point.y, point.high]),
    [bounds.bottom, bounds.top],
  );
  const content =
    points.length === 0
      ? [text('nothing was measured', {x: panelSize.width / 2, y: panelSize.height / 2, 'text-anchor': 'middle', 'font-size': fontSize.label, fill: inks.text})]
      : [...xAxis(panel.x, x), ...yAxis(panel.y, y), ...panel.series.flatMap((series) => curve(series, x, y))];
  const title = text(panel.title, {x: bounds.left, y: bounds.top - 16, 'font-size': fontSize.title, 'font-weight': 'bold', fill: inks.text});
  const frame = element('rect', {
    x: bounds.left,
    y: bounds.top,
    width: bounds.right - bounds.left,
    height: bounds.bottom - bounds.top,
    fill: 'none',
    stroke: inks.frame,
  });
  return element('g', {transform: `translate(${origin.x} ${origin.y})`}, `\n${[title, ...content, frame].join('\n')}\n`);
}

function xAxis({label, show}: Axis, {place, ticks, minorTicks}: Scale): string[] {
  const grid = (value: number, stroke: string): string => line({x: place(value), y: bounds.top}, {x: place(value), y: bounds.bottom}, {stroke});
  return [
    ...minorTicks.map((value) => grid(value, inks.faint)),
    ...ticks.map((value) => grid(value, inks.grid)),
    ...ticks.map((value) => text(show(value), {x: place(value), y: bounds.bottom + 20, 'text-anchor': 'middle', 'font-size': fontSize.tick, fill: inks.text})),
    text(label, {x: (bounds.left + bounds.right) / 2, y: bounds.bottom + 46, 'text-anchor': 'middle', 'font-size': fontSize.label, fill: inks.text}),
  ];
}

function yAxis({label, show}: Axis, {place, ticks, minorTicks}: Scale): string[] {
  const grid = (value: number, stroke: string): string => line({x: bounds.left, y: place(value)}, {x: bounds.right, y: place(value)}, {stroke});
  const middle = (bounds.top + bounds.bottom) / 2;
  return [
    ...minorTicks.map((value) => grid(value, inks.faint)),
    ...ticks.map((value) => grid(value, inks.grid)),
    ...ticks.map((value) => text(show(value), {x: bounds.left - 8, y: place(value) + 5, 'text-anchor': 'end', 'font-size': fontSize.tick, fill: inks.text})),
    text(label, {x: 20, y: middle, transform: `rotate(-90 20 ${middle})`, 'text-anchor': 'middle', 'font-size': fontSize.label, fill: inks.text}),
  ];
}

function curve({colour, dashed, points}: Series, x: Scale, y: Scale): string[] {
  const places = points.map((point) => ({x: x.place(point.x), y: y.place(point.y), high: y.place(point.high)}));
  return [
    ...places.map((place) => line(place, {x: place.x, y: place.high}, {stroke: colour, 'stroke-width': 1, 'stroke-opacity': 0.5})),
    polyline(places, {stroke: colour, 'stroke-width': 2.2, ...(dashed && {'stroke-dasharray': dashes})}),
    ...places.map((place) => element('circle', {cx: place.x, cy: place.y, r: 3.6, fill: dashed ? '#ffffff' : colour, stroke: colour, 'stroke-width': 1.6})),
  ];
}
