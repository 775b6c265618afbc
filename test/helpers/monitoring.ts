/** The files of monitoring/, as Prometheus and Grafana read them. */
import {readFile, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import type {ExecutionContext} from 'ava';
import {CommandError, run} from '../../src/core/command.ts';
import {toolsDirectory} from '../../src/core/tools.ts';
import {temporaryDirectory} from './temporary-directory.ts';

const directory = fileURLToPath(new URL('../../monitoring', import.meta.url));

/** What it complains of; null: it is not here (tools/with-setup brings it). */
export async function promtool(argv: readonly string[], input = ''): Promise<string | null> {
  for (const program of ['promtool', join(toolsDirectory(), 'promtool')]) {
    try {
      await run([program, ...argv], {timeoutMs: 20_000, input});
      return '';
    } catch (error) {
      if (error instanceof CommandError && error.exitCode !== null) return error.stderr === '' ? error.message : error.stderr;
    }
  }
  return null;
}

interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly gridPos: {readonly x: number; readonly y: number; readonly w: number; readonly h: number};
  readonly targets?: readonly {readonly expr: string; readonly refId: string}[];
}

/** Names of metrics in an expression: words of ours that a selector, a range or an operator follows, and no labels. */
function namesIn(text: string): string[] {
  return [...text.matchAll(/\b(?:picogate|process|nodejs)_[a-z_]+\b/g)].map(([name]) => name);
}

/** @param text of a gateway. @param more of what one gateway alone does not have: a store on S3, other workers */
export async function checkMonitoring(t: ExecutionContext, text: string, more: string): Promise<void> {
  if ((await promtool(['--version'])) === null) t.log('promtool is not here (tools/with-setup brings it): expressions are not checked');
  for (const one of [text, more]) t.is((await promtool(['check', 'metrics'], one)) ?? '', '');
  t.is((await promtool(['check', 'rules', join(directory, 'alerts.yml')])) ?? '', '');
  t.is((await promtool(['test', 'rules', join(directory, 'alerts.test.yml')])) ?? '', '');
  const dashboard = JSON.parse(await readFile(join(directory, 'grafana-dashboard.json'), 'utf8')) as {panels: readonly Panel[]};
  t.is(new Set(dashboard.panels.map(({id}) => id)).size, dashboard.panels.length);
  for (const {type, title, gridPos, targets = []} of dashboard.panels) {
    t.true(gridPos.x >= 0 && gridPos.x + gridPos.w <= 24 && gridPos.h > 0, title);
    t.is(targets.length > 0, type !== 'row', title);
    t.is(new Set(targets.map(({refId}) => refId)).size, targets.length, title);
  }
  const expressions = dashboard.panels.flatMap(({targets = []}) => targets.map(({expr}) => expr));
  await using temporary = await temporaryDirectory();
  const rules = join(temporary.path, 'dashboard.yml');
  await writeFile(rules, rulesOf(expressions));
  t.is((await promtool(['check', 'rules', rules])) ?? '', '');
  const known = new Set([...`${text}\n${more}`.matchAll(/^([a-z_]+)[{ ]/gm)].map(([, name = '']) => name));
  const alerts = (await readFile(join(directory, 'alerts.yml'), 'utf8')).replace(/#.*|description:.*|summary:.*/g, '');
  const wanted = [...namesIn(alerts), ...expressions.flatMap(namesIn)];
  t.true(wanted.length > 50);
  t.deepEqual(
    [...new Set(wanted)].filter((name) => !known.has(name)),
    [],
  );
}

/** Recording rules, whose expressions promtool understands or complains of. What Grafana fills in is filled in. */
function rulesOf(expressions: readonly string[]): string {
  const rules = expressions.map((expr, at) => ({
    record: `panel:${at}`,
    expr: expr.replaceAll('$__rate_interval', '5m').replace(/\$(?:instance|app|job)\b/g, '.*'),
  }));
  return JSON.stringify({groups: [{name: 'dashboard', rules}]});
}
