/**
 * fast-check, whose properties draw the same input in each run: what they find is due to a change. `PICOGATE_SEED=random` draws another one each time, and
 * a failure says which; `PICOGATE_SEED=NUMBER` draws that one again.
 */
import fastCheck from 'fast-check';

const seed = process.env['PICOGATE_SEED'] ?? '1';
if (seed !== 'random') {
  if (!/^-?\d+$/.test(seed)) throw new Error(`PICOGATE_SEED takes a number or "random", not "${seed}"`);
  fastCheck.configureGlobal({seed: Number(seed)});
}

export {default as fc} from 'fast-check';
