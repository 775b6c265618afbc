/** What a failed exchange tells about the health of its server (`observe`). */
import type {AssignedServer} from './assignment.ts';
import type {ServerFailure} from './message.ts';

export function observedFailure({kind, isBroken}: ServerFailure): Parameters<AssignedServer['failed']>[0] {
  switch (kind) {
    case 'timeout':
      return 'late';
    case 'junk':
      return 'bad-head';
    case 'empty':
    case 'cut':
      return isBroken === true ? 'read-error' : 'closed';
    default:
      return kind satisfies never;
  }
}
