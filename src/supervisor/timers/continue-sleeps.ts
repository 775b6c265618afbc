import {readdirSync, readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {errorMessage} from '../../core/errors.ts';
import type {Log} from '../../core/log.ts';
import {continueSleep} from './core-image.ts';

const coreImage = /^core-\d+\.img$/;

/**
 * Has threads that sleep in nanosleep(2) sleep on after a restore, for what was left to them. CRIU would end the call with EINTR, for which no kernel
 * needs a reason like this one: a program that takes that for the end of its sleep would do too early what it had slept for. Never throws: a sleep
 * that ends early is better than no checkpoint.
 */
export function continueSleeps(imagesDir: string, log: Log): void {
  try {
    for (const name of readdirSync(imagesDir)) {
      if (!coreImage.test(name)) continue;
      const path = join(imagesDir, name);
      const changed = continueSleep(readFileSync(path));
      if (changed !== null) writeFileSync(path, changed);
    }
  } catch (error) {
    log.warn({error: errorMessage(error)}, 'sleeping threads of the app will be woken when it is restored');
  }
}
