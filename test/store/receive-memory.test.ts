import test from 'ava';
import {ReceiveMemory} from '../../src/store/receive-memory.ts';

const mebibyte = 1024 ** 2;

test("memory that is taken is nobody else's, also when there is not enough of it", (t) => {
  using memory = new ReceiveMemory();
  const taken = Array.from({length: 20}, (_, at) => ({at, received: memory.take(at === 3 ? 2 * mebibyte : mebibyte - at)}));
  for (const {at, received} of taken) received.bytes.fill(at);
  for (const {at, received} of taken) {
    t.is(received.bytes.length, at === 3 ? 2 * mebibyte : mebibyte - at);
    t.true(received.bytes.equals(Buffer.alloc(received.bytes.length, at)));
    received[Symbol.dispose]();
  }
});

test('memory that is given back is used again, and is given back once', (t) => {
  using memory = new ReceiveMemory();
  const first = memory.take(100);
  first.bytes.fill(7);
  first[Symbol.dispose]();
  first[Symbol.dispose]();
  using second = memory.take(50);
  using third = memory.take(50);
  t.true(second.bytes.equals(Buffer.alloc(50, 7)));
  t.false(third.bytes.equals(second.bytes));
});
