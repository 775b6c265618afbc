import test from 'ava';
import {hasS3Server} from './s3-server.ts';

/** Skipped where the set-up could not put the S3 server (no root). */
export const s3Test = hasS3Server ? test : test.skip;
