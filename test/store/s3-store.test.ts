import test from 'ava';
import {createLog} from '../../src/core/log.ts';
import type {S3Limits, S3Store} from '../../src/store/s3-options.ts';
import {openS3Store} from '../../src/store/s3-store.ts';
import {type S3Server, s3Credentials, s3Test, startS3Server} from '../helpers/s3-server.ts';
import {objectStoreConformance} from './object-store-conformance.ts';

Object.assign(process.env, s3Credentials);
const log = createLog('silent');

const opened: {server?: S3Server} = {};
let buckets = 0;

async function server(): Promise<S3Server> {
  if (opened.server === undefined) throw new Error('not started');
  return Promise.resolve(opened.server);
}

if (s3Test === test) {
  test.before(async () => {
    opened.server = await startS3Server();
  });
  test.after.always(async () => {
    await opened.server?.[Symbol.asyncDispose]();
  });
}

async function newBucket(): Promise<string> {
  const name = `bucket-${++buckets}`;
  await (await server()).createBucket(name);
  return name;
}

async function openBucket(bucket: string, settings: {limits?: Partial<S3Limits>; prefix?: string; endpoint?: string} = {}): Promise<S3Store> {
  const {prefix = 'some/prefix', endpoint = (await server()).endpoint, limits = {}} = settings;
  return openS3Store({bucket, prefix, endpoint, region: null, pathStyle: true, log, limits});
}

objectStoreConformance(s3Test, 's3', async () => {
  const store = await openBucket(await newBucket());
  return {store, [Symbol.asyncDispose]: () => store[Symbol.asyncDispose]()};
});
