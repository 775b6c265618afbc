import test, {type TestFn} from 'ava';

/** A test that needs root; shown as skipped without it. */
export const rootTest: TestFn | TestFn['skip'] = process.getuid?.() === 0 ? test : test.skip;

/** A test that needs root and much of the machine: one of its file at a time. Shown as skipped without root. */
export const serialRootTest = process.getuid?.() === 0 ? test.serial : test.serial.skip;
