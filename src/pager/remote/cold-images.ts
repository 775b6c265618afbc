/** The pages that CRIU reads itself, in a segment of a cold object. */
import type {PageTable} from '../checkpoints/page-table.ts';

/** Opens the page tables of a segment, by process; with the app's data key when it has one. Without any when they are damaged: it is only a hint. */
export type OpenTables = (dataKey: Uint8Array | undefined) => ReadonlyMap<number, PageTable>;

export interface ColdImages {
  readonly segment: number;
  /** Its key. */
  readonly object: string;
  /** Where the pages of each process are in it. */
  readonly tables: OpenTables;
}
