/** Where that lies which a wake reads. */

export const conditions = ['warm', 'uncached', 'cold'] as const;
export type Condition = (typeof conditions)[number];

export const conditionTitles: Record<Condition, string> = {
  warm: 'warm: checkpoint and programs in the page cache',
  uncached: 'uncached: checkpoint and programs on the disk, out of the page cache',
  cold: 'cold: the checkpoint in S3 only, behind a slow line',
};
