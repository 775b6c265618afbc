/**
 * A server that speaks S3, on a free port of the loopback, with an empty memory: moto, from where the set-up put it. Where it is not (no root,
 * another system) `hasS3Server` is false.
 */
import {readFileSync} from 'node:fs';
import {createServer} from 'node:net';
import {join} from 'node:path';
import {startDaemon} from '../../src/core/command.ts';
import {toolsDirectory} from '../../src/core/tools.ts';
import {until} from './until.ts';

export interface S3Server extends AsyncDisposable {
  readonly endpoint: string;
  readonly port: number;
  /** What a client finds its credentials in. */
  readonly env: Readonly<Record<string, string>>;
  createBucket(name: string): Promise<void>;
}

const startTimeoutMs = 60_000;

export const s3Credentials: Readonly<Record<string, string>> = {
  AWS_ACCESS_KEY_ID: 'test',
  AWS_SECRET_ACCESS_KEY: 'secret',
  AWS_REGION: 'us-east-1',
  AWS_EC2_METADATA_DISABLED: 'true',
};

interface Recorded {
  readonly argv: readonly [string, ...string[]];
  readonly env: Readonly<Record<string, string>>;
}

/** What the set-up wrote, or null. */
function recorded(): Recorded | null {
  try {
    return JSON.parse(readFileSync(join(toolsDirectory(), 's3-server.json'), 'utf8')) as Recorded;
  } catch {
    return null; // It was not set up.
  }
}

export const hasS3Server = recorded() !== null;

/** Ready when this resolves. What it stores is gone when it is disposed. */
export async function startS3Server({host = '127.0.0.1'}: {host?: string} = {}): Promise<S3Server> {
  const program = recorded();
  if (program === null) throw new Error('no S3 server; run npm test as root once');
  const port = await freePort();
  const argv = [...program.argv, '-H', host, '-p', String(port)] as const;
  const daemon = await startDaemon(argv, {stdio: ['ignore', 'ignore', 'pipe'], env: {...process.env, ...program.env}});
  const endpoint = `http://${host}:${port}`;
  const ended = daemon.exited.then(({stderr}) => {
    throw new Error(`the S3 server has ended: ${stderr}`);
  });
  ended.catch(() => undefined); // Only of interest until it answers.
  const answers = async (): Promise<boolean> => {
    try {
      return (await fetch(`${endpoint}/moto-api/`, {signal: AbortSignal.timeout(5000)})).ok;
    } catch {
      return false;
    }
  };
  try {
    await Promise.race([until(answers, {timeoutMs: startTimeoutMs, intervalMs: 50, what: 'the S3 server'}), ended]);
  } catch (error) {
    await daemon[Symbol.asyncDispose]();
    throw error;
  }
  return {
    endpoint,
    port,
    env: s3Credentials,
    async createBucket(name) {
      const answer = await fetch(`${endpoint}/${name}`, {method: 'PUT'});
      if (!answer.ok) throw new Error(`bucket ${name}: ${answer.status} ${await answer.text()}`);
    },
    [Symbol.asyncDispose]: () => daemon[Symbol.asyncDispose](),
  };
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}
