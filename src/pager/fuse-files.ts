/** One stretch of a file that FUSE serves: bytes in memory, a part of a real file, or zeros. */
export type Extent = {
  readonly length: number;
  readonly source:
    | {readonly kind: 'bytes'; readonly data: Uint8Array}
    | {readonly kind: 'file'; readonly path: string; readonly position: number}
    | {readonly kind: 'zero'};
};

/** The files of one directory by name; the extents of a file follow each other without gaps. */
export type FuseFiles = ReadonlyMap<string, readonly Extent[]>;
