import test from 'ava';
import {compressorFor} from '../../../src/edge/http/compression.ts';
import type {RequestHead, ResponseHead} from '../../../src/edge/http/message.ts';

const request: RequestHead = {method: 'GET', uri: '/', version: '1.1', headers: []};

test('compression minsize-res: a shorter answer stays as it is, one of unknown length may be long', (t) => {
  const compression = {algorithms: ['gzip'], types: [], minBytes: 1000, offload: false} as const;
  for (const [length, isCompressed] of [
    [999, false],
    [1000, true],
    [null, true],
    [0, false],
  ] as const) {
    const response: ResponseHead = {status: 200, reason: 'OK', version: '1.1', headers: [['content-type', 'text/plain']]};
    const compressor = compressorFor(compression, request, 'gzip', response, length);
    t.is(compressor !== null, isCompressed, String(length));
    t.is(
      response.headers.some(([name]) => name === 'content-encoding'),
      isCompressed,
    );
    compressor?.close();
  }
});
