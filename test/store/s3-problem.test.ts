import test from 'ava';
import {isPassing, type ProblemKind, problemOf, storeError} from '../../src/store/s3-problem.ts';

/** As the client of AWS throws. */
function answer(httpStatusCode: number, name: string): Error {
  return Object.assign(new Error('said'), {name, $metadata: {httpStatusCode}});
}

function failure(code: string): Error {
  return Object.assign(new Error(`connect ${code}`), {code});
}

const answers: readonly (readonly [number, string, ProblemKind])[] = [
  [404, 'NoSuchKey', 'no-object'],
  [404, 'NotFound', 'not-found'],
  [404, 'Unknown', 'refused'],
  [404, 'NoSuchUpload', 'no-upload'],
  [404, 'NoSuchBucket', 'refused'],
  [412, 'PreconditionFailed', 'exists'],
  [412, 'Unknown', 'exists'],
  [409, 'ConditionalRequestConflict', 'conflict'],
  [409, 'OperationAborted', 'unreachable'],
  [409, 'BucketNotEmpty', 'refused'],
  [416, 'InvalidRange', 'bad-range'],
  [403, 'AccessDenied', 'refused'],
  [403, 'Unknown', 'refused'],
  [403, 'RequestTimeTooSkewed', 'refused'],
  [400, 'ExpiredToken', 'refused'],
  [400, 'BadDigest', 'unreachable'],
  [400, 'InvalidRequest', 'refused'],
  [301, 'PermanentRedirect', 'refused'],
  [500, 'InternalError', 'unreachable'],
  [502, 'Unknown', 'unreachable'],
  [503, 'SlowDown', 'overloaded'],
  [503, 'ServiceUnavailable', 'overloaded'],
  [429, 'TooManyRequests', 'overloaded'],
  [507, 'XMinioStorageFull', 'full'],
  [501, 'NotImplemented', 'refused'],
  [200, 'SyntaxError', 'unreachable'],
];

for (const [status, name, kind] of answers) {
  test(`problemOf() takes ${status} ${name} for ${kind}`, (t) => t.is(problemOf(answer(status, name)).kind, kind));
}

test('problemOf() tells a network that may come back from a certificate that will not', (t) => {
  for (const code of ['ECONNREFUSED', 'ECONNRESET', 'ENOTFOUND', 'EAI_AGAIN', 'EPIPE', 'ETIMEDOUT']) t.true(isPassing(problemOf(failure(code))), code);
  for (const code of ['DEPTH_ZERO_SELF_SIGNED_CERT', 'UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'CERT_HAS_EXPIRED', 'ERR_TLS_CERT_ALTNAME_INVALID']) {
    t.false(isPassing(problemOf(failure(code))), code);
    t.regex(problemOf(failure(code)).found, /its certificate is not accepted/);
  }
  t.true(isPassing(problemOf(new DOMException('no answer for 5 ms', 'TimeoutError'))));
  t.false(isPassing(problemOf(new TypeError('x is not a function'))));
});

test('storeError() has the code, the place and what was found', (t) => {
  const what = {doing: 'write object "a/b" in bucket "c"', key: 'a/b'};
  const full = storeError(what, answer(507, 'XMinioStorageFull'));
  t.like(full, {
    code: 'ERR_STORE_FULL',
    retryable: false,
    source: 'host',
    message: 'Cannot write object "a/b" in bucket "c": the store is full (507 XMinioStorageFull: said)',
  });
  t.like(storeError(what, answer(412, 'PreconditionFailed')), {
    code: 'ERR_OBJECT_EXISTS',
    message: 'Cannot write object "a/b" in bucket "c": it exists already',
  });
  t.like(storeError(what, answer(404, 'NoSuchKey')), {code: 'ERR_NO_OBJECT', retryable: false});
  t.like(storeError(what, failure('ECONNREFUSED')), {code: 'ERR_STORE_FAILED', retryable: true});
});
