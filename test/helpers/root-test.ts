import test, {type TestFn} from 'ava';

/** A test that needs root; shown as skipped without it. */
export const rootTest: TestFn | TestFn['skip'] = process.getuid?.() === 0 ? test : test.skip;
