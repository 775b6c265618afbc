import test from 'ava';
import {renderFigure} from '../../bench/paging/plot/figure.ts';
import type {Panel} from '../../bench/paging/plot/panel.ts';
import {scale} from '../../bench/paging/plot/scale.ts';

const panel: Panel = {
  title: 'a <title> & more',
  x: {label: 'size', scale: 'log2', show: (value) => `${value} B`},
  y: {label: 'time', scale: 'log10', show: String},
  series: [
    {
      name: 'first',
      colour: '#000000',
      dashed: false,
      points: [
        {x: 4096, y: 12, high: 30},
        {x: 8192, y: 700, high: 900},
      ],
    },
    {name: 'never measured', colour: '#0072b2', dashed: true, points: []},
  ],
};

test('scale() puts decades at equal distances and labels 1, 2, 5 of each', (t) => {
  const {place, ticks} = scale('log10', [12, 900], [400, 0]);
  t.deepEqual(ticks, [10, 20, 50, 100, 200, 500, 1000]);
  t.is(place(10), 400);
  t.is(Math.round(place(100)), 200);
  t.is(Math.round(place(1000)), 0);
});

test('scale() labels every value of a linear axis and every other power of a long axis of powers of two', (t) => {
  t.deepEqual(scale('linear', [0, 12.5, 100, 0], [0, 1]).ticks, [0, 12.5, 100]);
  const many = Array.from({length: 100}, (_, at) => 31 + at);
  t.deepEqual(scale('linear', many, [0, 1]).ticks, [40, 50, 60, 70, 80, 90, 100, 110, 120, 130]);
  const sizes = Array.from({length: 12}, (_, power) => 2 ** (12 + power));
  const {ticks, minorTicks} = scale('log2', sizes, [0, 1]);
  t.deepEqual(minorTicks, sizes);
  t.is(ticks.length, 6);
  t.is(ticks.at(-1), 2 ** 23);
});

test('renderFigure() draws what was measured, names only that in the legend, and escapes text', (t) => {
  const svg = renderFigure({title: 'figure', footnote: 'note', panels: [panel, {...panel, series: []}]});
  t.true(svg.startsWith('<?xml'));
  t.true(svg.includes('a &lt;title&gt; &amp; more'));
  t.true(svg.includes('nothing was measured'));
  t.false(svg.includes('never measured'));
  t.is(svg.match(/<circle/g)?.length, 2);
  t.false(svg.includes('NaN'));
});
