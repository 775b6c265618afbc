import {randomBytes} from 'node:crypto';
import {crc32} from 'node:zlib';
import test from 'ava';
import {pageChecksum, runChecksum} from '../../src/pager/checkpoints/page-checksums.ts';
import {pageSizeBytes} from '../../src/pager/checkpoints/page-table.ts';

test('the checksum of pages that lie together follows from those of each', (t) => {
  const pages = Buffer.concat([randomBytes(5 * pageSizeBytes), Buffer.alloc(2 * pageSizeBytes), Buffer.alloc(pageSizeBytes, 0xff), randomBytes(pageSizeBytes)]);
  const count = pages.length / pageSizeBytes;
  const checksums = Uint32Array.from({length: count}, (_, number) => pageChecksum(pages, number));
  for (let index = 0; index <= count; index++) {
    for (let length = 0; index + length <= count; length++) {
      const whole = crc32(pages.subarray(index * pageSizeBytes, (index + length) * pageSizeBytes));
      t.is(runChecksum(checksums, index, length), whole, `${length} pages from page ${index} on`);
    }
  }
});

test('a changed bit, and pages in another order, change the checksum of them together', (t) => {
  const pages = randomBytes(4 * pageSizeBytes);
  const checksums = Uint32Array.from({length: 4}, (_, number) => pageChecksum(pages, number));
  const whole = runChecksum(checksums, 0, 4);
  for (const bit of [0, 7, 4096 * 8, 4 * 4096 * 8 - 1]) {
    const changed = Buffer.from(pages);
    changed[bit >>> 3] = (changed[bit >>> 3] ?? 0) ^ (1 << (bit & 7));
    t.not(crc32(changed), whole);
  }
  t.not(runChecksum(checksums.toReversed(), 0, 4), whole);
});
