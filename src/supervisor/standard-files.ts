/**
 * Standard input and output of an app. They lie outside its root, in files of ours, so CRIU knows them as external: it
 * saves a name, and gets an open descriptor in place of each at restore.
 */
import {closeSync, constants, openSync, readFileSync, statSync} from 'node:fs';

export interface StandardFiles {
  /** A character device like /dev/null. */
  readonly input: string;
  /** The FIFO of the log. */
  readonly output: string;
}

/** CRIU's name of an open file: `file[MOUNT:INODE]`, both hexadecimal. */
export function externalName(path: string): string {
  const descriptor = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
  try {
    const mountId = /^mnt_id:\s*(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${descriptor}`, 'utf8'))?.[1] ?? '0';
    const {ino} = statSync(path, {bigint: true});
    return `file[${Number(mountId).toString(16)}:${ino.toString(16)}]`;
  } finally {
    closeSync(descriptor);
  }
}

/** Descriptors to be inherited by a child; closed when disposed. */
export function openStandardFiles(files: StandardFiles): Disposable & {readonly input: number; readonly output: number} {
  const input = openSync(files.input, constants.O_RDONLY);
  let output: number;
  try {
    // For reading, too: an app that prints while nobody reads, since the gateway was killed, waits for the next one instead of getting a SIGPIPE.
    output = openSync(files.output, constants.O_RDWR);
  } catch (error) {
    closeSync(input);
    throw error;
  }
  return {
    input,
    output,
    [Symbol.dispose]() {
      closeSync(input);
      closeSync(output);
    },
  };
}
