/** The same expressions and conditions on the same requests, through HAProxy and through ours. */
import {writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import test from 'ava';
import type {MatchMethod} from '../../../src/config/sample.ts';
import {createSampleCompiler} from '../../../src/edge/samples/compile.ts';
import {temporaryDirectory} from '../../helpers/temporary-directory.ts';
import {differentialConditions, differentialExpressions, differentialMaps, differentialRequests} from './differential-cases.ts';
import {startReference} from './haproxy-reference.ts';
import {contextOf, environment, requestFacts} from './sample-fixture.ts';
import {aclTest, condition, expression} from './sample-text.ts';

test('expressions and conditions yield what they yield in HAProxy', async (t) => {
  t.timeout(50_000);
  await using directory = await temporaryDirectory();
  for (const [name, content] of Object.entries(differentialMaps)) await writeFile(join(directory.path, name), content);
  await using reference = await startReference({
    formats: differentialExpressions.map((text) => `%[${text.replaceAll('MAPS', directory.path)}]`),
    conditions: differentialConditions.map(([fetch, flags, ...patterns]) => `{ ${fetch} ${flags} ${patterns.map(quoted).join(' ')} }`),
    directory: fileURLToPath(new URL('.', import.meta.url)),
  });
  const compiler = createSampleCompiler(environment());
  const expressions = differentialExpressions.map((text) =>
    compiler.compileFormat(
      [
        {
          kind: 'sample',
          expression: expression(text.replaceAll('MAPS', directory.path)),
          options: {quote: false, escape: false, hex: false, dashIfMissing: false},
        },
      ],
      'value',
    ),
  );
  const conditions = differentialConditions.map(([fetch, flags, ...patterns]) => compiler.compileCondition(condition(flaggedTest(fetch, flags, patterns))));
  const differences: unknown[] = [];
  for (const head of differentialRequests) {
    const context = contextOf({request: requestFacts(head)});
    context.variables.set('txn.text', {type: 'str', value: 'stored'});
    context.variables.set('txn.number', {type: 'int', value: 7});
    for (const [index, wanted] of (await reference.formats(head)).entries()) {
      const found = expressions[index]?.(context);
      if (found !== wanted) differences.push({head, expression: differentialExpressions[index], wanted, found});
    }
    for (const [index, wanted] of (await reference.conditions(head)).entries()) {
      const found = conditions[index]?.(context);
      if (found !== wanted) differences.push({head, condition: differentialConditions[index], wanted, found});
    }
  }
  t.deepEqual(differences, []);
});

function quoted(pattern: string): string {
  return /^(eq|ge|gt|le|lt) /.test(pattern) ? pattern : `'${pattern}'`;
}

function flaggedTest(fetch: string, flags: string, patterns: readonly string[]): ReturnType<typeof aclTest> {
  const method = (/-m (\w+)/.exec(flags)?.[1] ?? 'str') as MatchMethod;
  return aclTest(fetch, method, patterns, {ignoreCase: flags.includes('-i')});
}
