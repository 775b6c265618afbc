/** Where checkpoints are kept: what may follow `store`. */
import {isIP} from 'node:net';
import type {Arguments} from './arguments.ts';
import type {Word} from './lex.ts';
import {resolveHostDirectory, type Shape} from './shapes.ts';
import {didYouMean} from './suggestion.ts';
import type {S3StoreConfig, StoreConfig} from './value.ts';

const optionNames = ['endpoint', 'region', 'path-style'] as const;

/** `dir:PATH`, or `s3://BUCKET/PREFIX` with options. */
export const store: Shape<StoreConfig> = {
  usage: 'dir:<path> | s3://<bucket>[/<prefix>] [endpoint <url>] [region <region>] [path-style]',
  read(args) {
    const word = args.take('dir:<path>');
    if (word.text.startsWith('s3:')) return readS3(args, word);
    const path = word.text.startsWith('dir:') ? word.text.slice('dir:'.length) : '';
    if (path === '') throw args.invalid(word, 'dir:PATH or s3://BUCKET/PREFIX is expected');
    return {kind: 'directory', path: resolveHostDirectory(args, word, path)};
  },
};

function readS3(args: Arguments, word: Word): S3StoreConfig {
  const [, bucket, rest = ''] = /^s3:\/\/([^/]+)(?:\/(.*))?$/s.exec(word.text) ?? [];
  if (bucket === undefined) throw args.invalid(word, 's3://BUCKET/PREFIX is expected');
  if (!isBucketName(bucket)) throw args.invalid(word, `'${bucket}' cannot be the name of a bucket`);
  const prefix = rest.replace(/\/$/, '');
  if (prefix !== '' && !isPrefix(prefix)) throw args.invalid(word, 'a prefix consists of names with / between them; a name of letters, digits and - _ . :');
  let endpoint: string | null = null;
  let region: string | null = null;
  let pathStyle = false;
  while (!args.atEnd) {
    const option = args.take('an option');
    if (option.text === 'endpoint') endpoint = readEndpoint(args);
    else if (option.text === 'region') region = readRegion(args);
    else if (option.text === 'path-style') pathStyle = true;
    else throw args.invalid(option, `${optionNames.join(', ')} are possible${didYouMean(option.text, optionNames)}`);
  }
  return {kind: 's3', bucket, prefix, endpoint, region, pathStyle};
}

/** The rules of Amazon, which others follow or relax little. */
function isBucketName(text: string): boolean {
  return /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(text) && !text.includes('..') && isIP(text) === 0;
}

/** Up to 256 characters, so that there is room for the rest of a key. */
function isPrefix(text: string): boolean {
  return text.length <= 256 && text.split('/').every((part) => /^[A-Za-z0-9_.:-]+$/.test(part) && !/^\.{1,2}$/.test(part));
}

function readEndpoint(args: Arguments): string {
  const word = args.take('<url>');
  const url = URL.parse(word.text);
  // It may hold a password: not repeated.
  if (url !== null && (url.username !== '' || url.password !== ''))
    throw args.invalid(
      {text: '...', position: word.position},
      'an endpoint has no user and password; give them as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY',
    );
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:'))
    throw args.invalid(word, 'http://HOST[:PORT] or https://HOST[:PORT] is expected');
  if (url.search !== '' || url.hash !== '') throw args.invalid(word, 'an endpoint has no ? and no #');
  if (url.protocol === 'http:' && !isLoopback(url.hostname))
    args.warn(word, `'${word.text}' has no TLS: whoever is on the way can read and change checkpoints that have no 'encryption-key'`);
  return word.text;
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(host);
}

function readRegion(args: Arguments): string {
  const word = args.take('<region>');
  if (!/^[A-Za-z0-9][A-Za-z0-9-]*$/.test(word.text)) throw args.invalid(word, 'a region such as eu-central-1 is expected');
  return word.text;
}
