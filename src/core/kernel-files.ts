/**
 * Files of the kernel (procfs, sysfs, control groups). Nobody knows their size before they are read, so `fs.readFile` takes 64 KiB for each, and V8 marks
 * the whole heap after some hundred of these: while many apps are woken that was a fifth of the time of the thread that all of them need.
 */
import {readFileSync} from 'node:fs';
import {open} from 'node:fs/promises';

/** What the kernel gives at a time of a file of many lines: one page, seq_file. */
const chunkBytes = 4096;

/** One that is short, and that the kernel has at hand. @throws Error with the errno's name as its `code` */
export function readKernelFile(path: string): string {
  // For this encoding Node reads into memory on the stack.
  return readFileSync(path, 'utf8');
}

/** One that may be long, or that the kernel has to search for; bytes become characters of the same number. @throws as `readKernelFile()` */
export async function readKernelTable(path: string): Promise<string> {
  await using file = await open(path);
  const chunk = Buffer.allocUnsafe(chunkBytes);
  let text = '';
  for (;;) {
    const {bytesRead} = await file.read(chunk, 0, chunkBytes);
    if (bytesRead === 0) return text;
    text += chunk.toString('latin1', 0, bytesRead);
  }
}
