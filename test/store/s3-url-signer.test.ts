import {GetObjectCommand, S3Client} from '@aws-sdk/client-s3';
import {getSignedUrl} from '@aws-sdk/s3-request-presigner';
import test from 'ava';
import {type Credentials, UrlSigner} from '../../src/store/s3-url-signer.ts';

const endpoint = 'http://127.0.0.1:9000';
const credentials: Credentials = {accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY'};
const keys = ['apps/wiki/manifests/00000007.json', 'apps/wiki/cold/00000007-1796053128130', "a:b/c d/(e)'!*~é/%2F"];

interface Bucket {
  readonly title: string;
  readonly endpoint?: string;
  readonly forcePathStyle: boolean;
  readonly credentials: Credentials;
}

const buckets: readonly Bucket[] = [
  {title: 'in the path', endpoint, forcePathStyle: true, credentials},
  {title: 'in the name of the host', forcePathStyle: false, credentials},
  {title: 'with a session', endpoint, forcePathStyle: true, credentials: {...credentials, sessionToken: 'FQoGZXIvYXdzE//token=='}},
];

/** When a URL was signed. */
function signedAtMs(url: string): number {
  const [, ...parts] = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(new URL(url).searchParams.get('X-Amz-Date') ?? '') ?? [];
  const [year = 0, month = 0, day = 0, hours, minutes, seconds] = parts.map(Number);
  return Date.UTC(year, month - 1, day, hours, minutes, seconds);
}

/** The order of the fields is free. */
function partsOf(url: string): readonly [string, readonly string[]] {
  const [path = '', query = ''] = url.split('?');
  return [path, query.split('&').sort()];
}

for (const {title, ...bucket} of buckets) {
  test(`UrlSigner signs as the client of AWS: bucket ${title}`, async (t) => {
    const client = new S3Client({region: 'eu-central-1', ...bucket});
    const library = async (key: string): Promise<string> => getSignedUrl(client, new GetObjectCommand({Bucket: 'tenants', Key: key}), {expiresIn: 900});
    let nowMs = 0;
    const asked: string[] = [];
    const signer = new UrlSigner({
      sign: async (key) => {
        asked.push(key);
        return library(key);
      },
      credentials: async () => Promise.resolve(bucket.credentials),
      nowMs: () => nowMs,
    });
    await signer.sign('first');
    for (const key of keys) {
      const expected = await library(key);
      nowMs = signedAtMs(expected);
      t.deepEqual(partsOf(await signer.sign(key)), partsOf(expected));
    }
    t.deepEqual(asked, ['first']);
    client.destroy();
  });
}

test('UrlSigner: what it does not understand is signed by the client of AWS each time', async (t) => {
  const express = (key: string): string =>
    `${endpoint}/tenants/${key}?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=A%2F20261130%2Fus-east-1%2Fs3express%2Faws4_request&X-Amz-SignedHeaders=host&X-Amz-S3session-Token=t`;
  const asymmetric = (key: string): string => `${endpoint}/tenants/${key}?X-Amz-Algorithm=AWS4-ECDSA-P256-SHA256&X-Amz-SignedHeaders=host`;
  for (const sign of [express, asymmetric]) {
    const signer = new UrlSigner({sign: async (key) => Promise.resolve(sign(key)), credentials: async () => Promise.resolve(credentials), nowMs: () => 0});
    for (const key of ['one', 'two']) t.is(await signer.sign(key), sign(key));
  }
});

test('UrlSigner: a failure is reported, and the next one tries anew', async (t) => {
  let fails = true;
  const sign = async (): Promise<string> => {
    if (fails) throw new Error('no credentials');
    return Promise.resolve(`${endpoint}/tenants/key?X-Amz-Algorithm=other`);
  };
  const signer = new UrlSigner({sign, credentials: async () => Promise.resolve(credentials), nowMs: () => 0});
  await t.throwsAsync(signer.sign('key'), {message: 'no credentials'});
  fails = false;
  t.regex(await signer.sign('key'), /other/);
});
