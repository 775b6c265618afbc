/** The small formats: numbers, page tables, CRIU's pagemaps. What is not ours must be refused by name, whatever its bytes. */
import test from 'ava';
import {CodedError} from '../../src/core/errors.ts';
import {parseMappings, parsePagemap, renderPagemap} from '../../src/pager/checkpoints/criu-image.ts';
import {PageTable} from '../../src/pager/checkpoints/page-table.ts';
import {decodePageTable, encodePageTable} from '../../src/pager/checkpoints/page-table-codec.ts';
import {VarintReader, VarintWriter} from '../../src/pager/checkpoints/varint.ts';
import {fc} from '../helpers/properties.ts';

test('numbers of any size come back', (t) => {
  fc.assert(
    fc.property(fc.array(fc.maxSafeNat()), fc.array(fc.integer({min: -(2 ** 51), max: 2 ** 51})), (naturals, integers) => {
      const writer = new VarintWriter();
      for (const value of naturals) writer.write(value);
      for (const value of integers) writer.writeSigned(value);
      const reader = new VarintReader(writer.finish());
      t.deepEqual(
        naturals.map(() => reader.read()),
        naturals,
      );
      t.deepEqual(
        integers.map(() => reader.readSigned() + 0),
        integers.map((value) => value + 0),
      );
      t.true(reader.done);
    }),
  );
});

test('a page table comes back from its bytes', (t) => {
  const run = fc.record({
    page: fc.oneof(fc.nat(3000), fc.integer({min: 2 ** 35 - 3000, max: 2 ** 35 - 600})),
    count: fc.integer({min: 1, max: 500}),
    segment: fc.nat(1_000_000),
    index: fc.nat(2 ** 31),
    lazy: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(run, {maxLength: 20}), (runs) => {
      const table = PageTable.from(runs);
      t.deepEqual([...decodePageTable(encodePageTable(table)).runs()], [...table.runs()]);
    }),
  );
});

test('a page table that is cut off is refused', (t) => {
  const data = encodePageTable(PageTable.from([{page: 0x7f0000000, count: 700, segment: 5, index: 100_000, lazy: true}]));
  for (let length = 2; length < data.length; length++) t.throws(() => decodePageTable(data.subarray(0, length)), {instanceOf: RangeError});
  t.throws(() => decodePageTable(Buffer.alloc(0)), {instanceOf: RangeError});
});

test('a pagemap comes back, also from highest addresses', (t) => {
  const pagemap = {
    pagesId: 12,
    entries: [
      {page: 0x400, count: 3, flags: 4},
      {page: 0x7ffffffff, count: 300_000, flags: 6},
    ],
  };
  t.deepEqual(parsePagemap('p', renderPagemap(pagemap)), pagemap);
});

/** Two magic numbers and records, each with its length. */
function image(...records: readonly (readonly number[])[]): Buffer {
  const magic = Buffer.from([0x19, 0x43, 0x56, 0x54, 0x25, 0x40, 0x08, 0x56]);
  return Buffer.concat([magic, ...records.flatMap((record) => [Buffer.from([record.length, 0, 0, 0]), Buffer.from(record)])]);
}

for (const [what, entry, expected] of [
  ['older entries: 32-bit count, no flags', [0x08, 0x80, 0x20, 0x10, 0x03], {page: 1, count: 3, flags: 4}],
  ['older entries in a parent image', [0x08, 0x80, 0x20, 0x10, 0x03, 0x18, 0x01], {page: 1, count: 3, flags: 5}],
  ['the count of field 5 over that of field 2', [0x08, 0x80, 0x20, 0x10, 0x00, 0x20, 0x06, 0x28, 0x07], {page: 1, count: 7, flags: 6}],
  ['entries with fields it does not know', [0x08, 0x80, 0x20, 0x10, 0x01, 0x20, 0x04, 0x7a, 0x01, 0xff], {page: 1, count: 1, flags: 4}],
] as const) {
  test(`parsePagemap() understands ${what}`, (t) => {
    t.deepEqual(parsePagemap('p', image([0x08, 0x01], entry)), {pagesId: 1, entries: [expected]});
  });
}

test('an image of any other bytes is refused by name', (t) => {
  const refusedOrRead = (parse: (data: Buffer) => unknown, data: Buffer): void => {
    try {
      parse(data);
    } catch (error) {
      t.true(error instanceof CodedError && error.code === 'ERR_BAD_DUMP' && error.message.startsWith('Cannot read CRIU image "x": '), String(error));
    }
  };
  const start = Buffer.from([0x19, 0x43, 0x56, 0x54, 0x25, 0x40, 0x08, 0x56]);
  fc.assert(
    fc.property(fc.uint8Array({maxLength: 200}), (bytes) => {
      for (const data of [Buffer.from(bytes), Buffer.concat([start, bytes])]) {
        refusedOrRead((found) => parsePagemap('x', found), data);
        refusedOrRead((found) => parseMappings('x', found), data);
      }
    }),
  );
  t.throws(() => parsePagemap('x', Buffer.alloc(0)), {code: 'ERR_BAD_DUMP'});
  t.throws(() => parsePagemap('x', Buffer.alloc(64)), {code: 'ERR_BAD_DUMP', message: 'Cannot read CRIU image "x": its magic numbers are 0x0 0x0'});
});
