import test from 'ava';
import {CodedError} from '../../src/core/errors.ts';
import {countsAsFailedWake, isFaultOfCheckpoint, mayPass} from '../../src/supervisor/restore-failure.ts';

const host = (code: string, retryable = false): CodedError => new CodedError(code, 'no', {source: 'host', retryable});

for (const [what, error, again, another, counts] of [
  ['CRIU fails', host('ERR_RESTORE', true), true, true, true],
  ['there is no CRIU', host('ERR_RESTORE'), false, false, true],
  ['the checkpoint is damaged', host('ERR_DAMAGED_CHECKPOINT'), false, true, true],
  ['the checkpoint is gone', host('ERR_NO_CHECKPOINT'), false, true, true],
  ['an object of it is gone', host('ERR_NO_OBJECT'), false, true, true],
  ['the key is wrong', host('ERR_WRONG_KEY'), false, false, true],
  ['the address is wrong', host('ERR_WRONG_ADDRESS'), false, false, true],
  ['the pager was killed', host('ERR_PAGER_DIED', true), true, false, false],
  ['its memory cannot be served', host('ERR_INSTANCE_LOST', true), true, false, true],
  ['the store is away', host('ERR_STORE_FAILED', true), false, false, false],
  ['Redis is away', host('ERR_REDIS_UNAVAILABLE', true), false, false, false],
  ['another worker has it', host('ERR_LEASE_HELD', true), false, false, false],
  ['it does not become ready', new CodedError('ERR_NOT_READY', 'no', {source: 'server'}), false, false, true],
  ['a bug', new TypeError('no'), false, false, true],
] as const) {
  test(`${what}: ${again ? '' : 'not '}tried again, ${another ? '' : 'no '}other checkpoint instead, ${counts ? '' : 'not '}counted`, (t) => {
    t.is(mayPass(error), again);
    t.is(isFaultOfCheckpoint(error), another);
    t.is(countsAsFailedWake(error), counts);
  });
}
