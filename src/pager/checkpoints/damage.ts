import {CodedError} from '../../core/errors.ts';

/**
 * A stored object that is not what was written. The only kind of error that proves a checkpoint useless; that a restore failed does not.
 * `offset` is the byte in the object at which it was found.
 */
export class DamagedCheckpointError extends CodedError<'ERR_DAMAGED_CHECKPOINT'> {
  readonly object: string;
  readonly offset: number;

  constructor(damage: {object: string; offset: number; found: string; generation?: number | undefined; cause?: unknown}) {
    const owner = damage.generation === undefined ? '' : ` of generation ${damage.generation}`;
    super('ERR_DAMAGED_CHECKPOINT', `Cannot read object "${damage.object}"${owner}: at byte ${damage.offset}, ${damage.found}`, {
      source: 'host',
      cause: damage.cause,
    });
    this.object = damage.object;
    this.offset = damage.offset;
  }
}
