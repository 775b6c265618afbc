/** A directory that `criu dump` has filled: which processes it holds, where their pages are, and which files are to be kept as they are. */
import {readdir, readFile, stat} from 'node:fs/promises';
import {join} from 'node:path';
import {errorCode} from '../../core/errors.ts';
import {badDump, type Mapping, type PagemapEntry, pagemapFlag, parseMappings, parsePagemap} from './criu-image.ts';
import {pageSizeBytes} from './page-table.ts';

export interface DumpedPages {
  readonly page: number;
  readonly count: number;
  /** In a mapping that CRIU restores through userfaultfd. */
  readonly lazy: boolean;
}

export interface DumpedProcess {
  /** Inside the app's pid namespace. */
  readonly pid: number;
  /** CRIU's number of the file with its pages. */
  readonly pagesId: number;
  readonly pagesPath: string;
  /** In the order in which the file has them, which is the order of addresses. */
  readonly pages: readonly DumpedPages[];
  readonly mappings: readonly Mapping[];
}

export interface DumpFile {
  readonly name: string;
  readonly path: string;
  readonly sizeBytes: number;
}

export interface Dump {
  readonly processes: readonly DumpedProcess[];
  /** All images but the pagemaps and pages of the processes; also those of shared memory. */
  readonly files: readonly DumpFile[];
}

/** @throws CodedError ERR_BAD_DUMP */
export async function readDump(directory: string): Promise<Dump> {
  const names = (await readdir(directory)).filter((name) => name.endsWith('.img')).sort();
  for (const needed of ['inventory.img', 'pstree.img']) if (!names.includes(needed)) throw badDump(needed, 'it does not exist');
  const processes: DumpedProcess[] = [];
  const taken = new Set<string>();
  for (const name of names) {
    const pid = /^pagemap-(\d+)\.img$/.exec(name)?.[1];
    if (pid === undefined) continue;
    const process = await readProcess(directory, name, Number(pid));
    processes.push(process);
    taken.add(name).add(`pages-${process.pagesId}.img`);
  }
  const files: DumpFile[] = [];
  for (const name of names) {
    if (taken.has(name)) continue;
    const path = join(directory, name);
    files.push({name, path, sizeBytes: (await stat(path)).size});
  }
  return {processes: processes.sort((a, b) => a.pid - b.pid), files};
}

async function readProcess(directory: string, name: string, pid: number): Promise<DumpedProcess> {
  const pagemap = parsePagemap(name, await readFile(join(directory, name)));
  const mmName = `mm-${pid}.img`;
  const mappings = parseMappings(mmName, await readFile(join(directory, mmName)));
  const pages = pagemap.entries.map((entry) => dumpedPages(name, entry));
  let end = 0;
  for (const {page, count} of pages) {
    if (page < end) throw badDump(name, `address 0x${(page * pageSizeBytes).toString(16)} is not in order`);
    end = page + count;
  }
  const pagesName = `pages-${pagemap.pagesId}.img`;
  const pagesPath = join(directory, pagesName);
  const expectedBytes = pages.reduce((sum, {count}) => sum + count, 0) * pageSizeBytes;
  const foundBytes = await sizeOrZero(pagesPath);
  if (foundBytes !== expectedBytes) throw badDump(pagesName, `it has ${foundBytes} bytes, "${name}" tells of ${expectedBytes}`);
  return {pid, pagesId: pagemap.pagesId, pagesPath, pages, mappings};
}

/** CRIU makes no file for a process without pages. */
async function sizeOrZero(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return 0;
    throw error;
  }
}

function dumpedPages(name: string, entry: PagemapEntry): DumpedPages {
  const found = `the entry at 0x${(entry.page * pageSizeBytes).toString(16)} has flags ${entry.flags}`;
  // Pages in a parent image or left with a lazy dump's server are not in these files.
  if ((entry.flags & pagemapFlag.present) === 0 || (entry.flags & pagemapFlag.parent) !== 0) throw badDump(name, found);
  return {page: entry.page, count: entry.count, lazy: (entry.flags & pagemapFlag.lazy) !== 0};
}
