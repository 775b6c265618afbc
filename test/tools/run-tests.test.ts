import test from 'ava';
import {allRuns, deadlineOf, failedFiles, parseSummaryLine, turnOf} from '../../tools/run-tests.ts';

const lines = [
  {line: '  8 tests passed', found: {outcome: 'passed', count: 8}},
  {line: '  1 test failed', found: {outcome: 'failed', count: 1}},
  {line: '  12 tests skipped', found: {outcome: 'skipped', count: 12}},
  {line: '  1 test todo', found: {outcome: 'skipped', count: 1}},
  {line: '  1 uncaught exception', found: {outcome: 'failed', count: 1}},
  {line: '  2 unhandled rejections', found: {outcome: 'failed', count: 2}},
  {line: '  1 hook failed', found: {outcome: 'failed', count: 1}},
  {line: '  ✔ nat › 8 tests passed through it', found: null},
  {line: '', found: null},
] as const;

for (const {line, found} of lines) {
  test(`parseSummaryLine() reads "${line}"`, (t) => {
    t.deepEqual(parseSummaryLine(line), found);
  });
}

test('failedFiles() tells the files in which a test has failed', (t) => {
  const files = ['test/e2e/cold.test.ts', 'test/e2e/partly-cold.test.ts', 'test/nat/hold.test.ts'];
  t.deepEqual(failedFiles('  ✔ nat › hold › x\n  ✘ [fail]: e2e › partly-cold › a wake\n', files), ['test/e2e/partly-cold.test.ts']);
  t.deepEqual(failedFiles('  1 uncaught exception\n', files), files);
});

test('deadlineOf() takes minutes, and says what it cannot take', (t) => {
  t.is(deadlineOf(undefined), Number.POSITIVE_INFINITY);
  t.is(deadlineOf('1.5'), 90_000);
  t.throws(() => deadlineOf('soon'), {message: 'PICOGATE_TEST_MINUTES takes a number, not "soon"'});
  t.throws(() => deadlineOf(''), {instanceOf: RangeError});
});

test('allRuns() has each file once: the quick ones, those about state, the others', (t) => {
  const quick = Array.from({length: 7}, (_, at) => `test/core/${at}.test.ts`);
  const runs = allRuns([...quick, 'test/e2e/cli.test.ts', 'test/e2e/history.test.ts', 'test/e2e/image.test.ts']);
  t.deepEqual(runs, [quick.slice(0, 6), quick.slice(6), ['test/e2e/history.test.ts', 'test/e2e/cli.test.ts'], ['test/e2e/image.test.ts']]);
});

test('allRuns() begins with another one of the others when it is told to, and has each file once', (t) => {
  const files = ['a', 'b', 'c', 'd', 'history'].map((name) => `test/e2e/${name}.test.ts`);
  const names = (turn: number): string =>
    allRuns(files, turn)
      .flat()
      .map((file) => file.slice('test/e2e/'.length, -'.test.ts'.length))
      .join(' ');
  t.is(names(1), 'history b c d a');
  t.is(names(7), 'history d a b c');
});

test('turnOf() is another one each day, and the first without a limit', (t) => {
  const day = new Date('2026-01-01T23:59:59Z');
  t.is(turnOf(undefined, day), 0);
  t.is(turnOf('11', day), turnOf('11', new Date('2026-01-01T00:00:00Z')));
  t.not(turnOf('11', day), turnOf('11', new Date('2026-01-02T00:00:00Z')));
});
