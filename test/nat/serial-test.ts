import ava from 'ava';

/** A test that needs root and much of the machine: one at a time. Shown as skipped without root. */
export const test = process.getuid?.() === 0 ? ava.serial : ava.serial.skip;
