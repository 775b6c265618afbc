import test from 'ava';
import * as protocol from '../../src/pager/fuse/fuse-protocol.ts';

function message(opcode: number, nodeId: number, body: Buffer): Buffer {
  const header = Buffer.alloc(40);
  header.writeUInt32LE(40 + body.length, 0);
  header.writeUInt32LE(opcode, 4);
  header.writeBigUInt64LE(77n, 8);
  header.writeBigUInt64LE(BigInt(nodeId), 16);
  return Buffer.concat([header, body]);
}

test('decodeRequest() reads a LOOKUP', (t) => {
  t.deepEqual(protocol.decodeRequest(message(1, 9, Buffer.from('core-1.img\0'))), {unique: 77n, nodeId: 9, operation: {kind: 'lookup', name: 'core-1.img'}});
});

test('decodeRequest() reads a READ beyond 4 GiB', (t) => {
  const body = Buffer.alloc(40);
  body.writeBigUInt64LE(5_000_000_000n, 8);
  body.writeUInt32LE(131072, 16);
  t.deepEqual(protocol.decodeRequest(message(15, 20, body)).operation, {kind: 'read', offset: 5_000_000_000, size: 131072});
});

for (const [name, opcode] of Object.entries({setattr: 4, mkdir: 9, unlink: 10, rename: 12, write: 16, create: 35, fallocate: 43, tmpfile: 51})) {
  test(`decodeRequest() takes ${name} for a change`, (t) => {
    t.deepEqual(protocol.decodeRequest(message(opcode, 1, Buffer.alloc(64))).operation, {kind: 'change'});
  });
}

test('decodeRequest() passes on an opcode that it does not know', (t) => {
  t.deepEqual(protocol.decodeRequest(message(999, 1, Buffer.alloc(0))).operation, {kind: 'unsupported', opcode: 999});
});

test('decodeRequest() refuses a READ that is cut off', (t) => {
  t.throws(() => protocol.decodeRequest(message(15, 20, Buffer.alloc(7))), {instanceOf: RangeError});
});

test('encodeError() negates the errno and keeps the unique number', (t) => {
  const out = Buffer.alloc(16);
  t.is(protocol.encodeError(out, 77n, 2), 16);
  t.deepEqual([out.readUInt32LE(0), out.readInt32LE(4), out.readBigUInt64LE(8)], [16, -2, 77n]);
});

test('encodeInit() asks only for what the kernel offers', (t) => {
  const body = Buffer.alloc(64);
  const maxPages = 1 << 22;
  t.is(protocol.encodeInit(body, {maxReadahead: 131072, flags: maxPages | (1 << 5)}), 64);
  t.is(body.readUInt32LE(12), maxPages);
  t.is(body.readUInt16LE(28), 256);
});

test('encodeDirectory() stops before an entry that does not fit', (t) => {
  const entries = ['a', 'a-name-of-17-char', 'c'].map((name, index) => ({nodeId: 20 + index, name, kind: 'file' as const, nextOffset: 20 + index}));
  const body = Buffer.alloc(200, 0xff);
  t.is(protocol.encodeDirectory(body, entries, 200), 32 + 48 + 32);
  t.is(body.toString('utf8', 32 + 24, 32 + 24 + 17), 'a-name-of-17-char');
  t.is(body.readBigUInt64LE(32 + 8), 21n);
  t.is(protocol.encodeDirectory(body, entries, 79), 32);
  t.is(protocol.encodeDirectory(body, [], 79), 0);
});
