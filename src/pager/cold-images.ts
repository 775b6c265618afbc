/** The pages that CRIU reads itself, in a segment of a cold object. */
import type {PageTable} from './page-table.ts';

export interface ColdImages {
  readonly segment: number;
  /** Its key. */
  readonly object: string;
  /** Where the pages of each process are in it. */
  readonly tables: ReadonlyMap<number, PageTable>;
}
