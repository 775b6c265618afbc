/**
 * For a commit: what of each process is stored and may be missing in it. The processes stand still, and CRIU has looked at them already.
 *
 * A restored process is known by its pid. The child of a fork came with a descriptor only; whose it is shows when one of its missing pages is
 * installed (with its right contents): it appears in the page map of one of the processes.
 */
import {closeSync, openSync, readSync} from 'node:fs';
import {CodedError, errorCode} from '../../core/errors.ts';
import type {Mapping} from '../../core/mapping.ts';
import {encodePageTable} from '../checkpoints/page-table-codec.ts';
import {type AbsentPages, AbsentPagesError} from './absent-pages.ts';
import type {Fetches} from './fault-fetches.ts';
import type {ProcessIds, ProcessTable} from './fault-messages.ts';
import type {PagedInstance} from './paged-instance.ts';
import {kernelView, type Outcome, type PagedProcess} from './paged-process.ts';
import {unregisteredEvents} from './unsettled-events.ts';

/** Present or swapped, in the highest byte of an entry of /proc/PID/pagemap. */
const residentBits = 0xc0;
/** How often a page is tried while the kernel says that an event must be read first. */
const attempts = 1000;

export interface ProbeTools {
  readonly buffer: Mapping;
  /** Reads and applies the events of a process that wait. */
  readonly pump: (process: PagedProcess) => void;
  readonly fetches: Fetches;
}

function isResident(pid: number, page: number): boolean {
  const entry = Buffer.alloc(8);
  let fd: number | undefined;
  try {
    fd = openSync(`/proc/${pid}/pagemap`, 'r');
    return readSync(fd, entry, 0, 8, page * 8) === 8 && (entry.readUInt8(7) & residentBits) !== 0;
  } catch (error) {
    // A zombie has no memory.
    if (errorCode(error) === 'ESRCH' || errorCode(error) === 'ENOENT') return false;
    throw error;
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

function serveNow(instance: PagedInstance, process: PagedProcess, page: number, tools: ProbeTools): Outcome {
  for (let attempt = 0; attempt < attempts; attempt++) {
    const outcome = process.serve(page, instance.reader, tools.buffer);
    if (outcome !== 'again') return outcome;
    tools.pump(process);
  }
  return 'again';
}

/** Those of `candidates` whose memory this is: more than one when processes share it, none when none of its pages can be in any. */
function owners(instance: PagedInstance, process: PagedProcess, candidates: readonly ProcessIds[], tools: ProbeTools): readonly ProcessIds[] {
  let notHere: AbsentPages | undefined;
  for (const run of [...process.memory.missing.runs()]) {
    for (let page = run.page; page < run.page + run.count; page++) {
      const elsewhere = instance.reader.absent(run.segment, run.index + page - run.page, 1);
      if (elsewhere !== undefined) {
        notHere ??= elsewhere;
        continue;
      }
      const absent = candidates.filter(({pid}) => !isResident(pid, page));
      const outcome = serveNow(instance, process, page, tools);
      if (outcome === 'gone') return [];
      if (outcome === 'present' || outcome === 'absent') continue;
      const found = outcome === 'stored' ? absent.filter(({pid}) => isResident(pid, page)) : [];
      if (found.length > 0) return found;
      const message = `Cannot tell which process of instance "${instance.id}" misses page 0x${page.toString(16)}: it is none of ${candidates.length} (${outcome})`;
      throw new CodedError('ERR_UNKNOWN_PROCESS', message, {source: 'host'});
    }
  }
  if (notHere === undefined) return [];
  // One page is enough to tell; it will be here when the checkpoint is tried again.
  tools.fetches.want(instance.id, [notHere], {urgent: true});
  throw new AbsentPagesError(notHere);
}

/** What was mapped since at the address of a page is not that page, and to be dumped or zero. */
function forgetUnregistered(instance: PagedInstance, process: PagedProcess, tools: ProbeTools): void {
  for (let attempt = 0; attempt < attempts && !process.settle(); attempt++) tools.pump(process);
  for (const event of unregisteredEvents(process.memory, kernelView(process.fd))) {
    process.memory.apply(event);
    instance.record({space: process.number, batch: 0, index: 0}, event);
  }
}

/**
 * @returns a table for each process of which something is stored; pages that were dumped are to replace what it says
 * @throws CodedError ERR_UNKNOWN_PROCESS when pages are missing in a process that is not among `processes`; or what reading a page throws.
 *   The checkpoint must then be given up.
 */
export function missingTables(instance: PagedInstance, processes: readonly ProcessIds[], tools: ProbeTools): ProcessTable[] {
  instance.sweep();
  const tables: ProcessTable[] = [];
  for (const process of instance.processes) {
    tools.pump(process);
    forgetUnregistered(instance, process, tools);
    if (process.memory.stored.size === 0) continue;
    // Before a page is installed to find the owner: CRIU has not seen that one.
    const table = encodePageTable(process.memory.stored);
    const known = process.vpid === 0 ? [] : processes.filter(({vpid}) => vpid === process.vpid);
    for (const {vpid} of known.length > 0 ? known : owners(instance, process, processes, tools)) tables.push({vpid, table});
  }
  return tables;
}
