/**
 * V8's helper threads, which compile and collect beside ours. They are four, however many processors there are, and each of them may keep a
 * processor for a tick (4 ms) while a request, a page fault or CRIU waits for it.
 */
import {readdirSync, readFileSync} from 'node:fs';
import {setPriority} from 'node:os';

const helperName = 'V8Worker';
/** A tenth of the weight of a thread with 0. */
const niceness = 10;

/**
 * Lets all other threads go first, of this process and of others. What waits for a helper sleeps meanwhile, so that it has the processor then, unless other programs
 * keep that busy. On Linux a
 * priority is that of a thread, setpriority(2). Harmless when it is refused, and where no thread has that name.
 */
export function lowerHelperThreads(): void {
  for (const thread of readdirSync('/proc/self/task')) {
    try {
      if (readFileSync(`/proc/self/task/${thread}/comm`, 'latin1').trim() === helperName) setPriority(Number(thread), niceness);
    } catch {
      // It has ended, or its priority is not ours to change: slower, not wrong.
    }
  }
}
