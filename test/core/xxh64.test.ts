import test from 'ava';
import {xxh64} from '../../src/core/xxh64.ts';

const hashes: Readonly<Record<string, string>> = {
  '': 'ef46db3751d8e999',
  a: 'd24ec4f1a98c6e5b',
  abc: '44bc2cf5ad770999',
};

for (const [text, hash] of Object.entries(hashes)) {
  test(`xxh64() of "${text}" is that of the reference`, (t) => {
    t.is(xxh64(Buffer.from(text)).toString(16), hash);
  });
}
