import type {Diagnostic} from './diagnostic.ts';
import type {MemoryMark, MemoryMarks} from './memory-marks.ts';
import {own, type Section} from './section.ts';

/** Without a line of its own the lower mark is at this part of the higher one. */
const lowPart = 0.75;

/** Null when nothing is limited. @param section all `global` sections together */
export function memoryMarks(section: Section, report: (diagnostic: Diagnostic) => void): MemoryMarks | null {
  const high = own(section, 'memory-high');
  const low = own(section, 'memory-low');
  if (high === undefined) {
    if (low !== undefined && !section.failed.has('memory-high')) {
      report({level: 'alert', position: low.position, word: low.name, message: "'memory-low' needs a 'memory-high'"});
    }
    return null;
  }
  if (low === undefined) return {high: high.value, low: partOf(high.value)};
  if (isBelow(high.value, low.value)) report({level: 'alert', position: low.position, word: low.name, message: "'memory-low' is above 'memory-high'"});
  return {high: high.value, low: low.value};
}

function partOf(mark: MemoryMark): MemoryMark {
  return mark.kind === 'bytes' ? {...mark, bytes: Math.floor(mark.bytes * lowPart)} : {...mark, percent: mark.percent * lowPart};
}

/** A size and a share are compared when it is known of what. */
function isBelow(a: MemoryMark, b: MemoryMark): boolean {
  if (a.kind === 'bytes') return b.kind === 'bytes' && a.bytes < b.bytes;
  return b.kind === 'share' && a.percent < b.percent;
}
