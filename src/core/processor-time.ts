import {readKernelFile} from './kernel-files.ts';

/** USER_HZ is 100 on all architectures that Node runs on. */
const msPerTick = 10;

/**
 * How long the processors have had nothing to do since the machine was started, or waited for a disk: the sum of all of them, milliseconds; proc_stat(5).
 * `os.cpus()` has it, too, and reads what can take the kernel many milliseconds for it.
 * @throws Error when it cannot be read
 */
export function processorsIdleMs(): number {
  const [, , , , idle, waiting] = readKernelFile('/proc/stat').split(/\s+/, 6);
  return (Number(idle) + Number(waiting)) * msPerTick;
}
