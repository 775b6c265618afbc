/** Load from outside, by programs whose figures others have too: wrk, curl and dnsperf. */
import {run} from '../../src/core/command.ts';

const graceMs = 30_000;

/** Where a program is asked. */
export interface Address {
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
}

export interface WrkOptions {
  readonly seconds: number;
  readonly connections: number;
  /** False: a connection for each request. */
  readonly keepAlive: boolean;
  readonly path: string;
  readonly signal: AbortSignal;
}

export interface WrkResult {
  readonly count: number;
  readonly perSecond: number;
  readonly p50Micros: number;
  readonly p99Micros: number;
}

/** @throws Error when an answer was missing or was not the one that was asked for */
export async function wrk(address: Address, {seconds, connections, keepAlive, path, signal}: WrkOptions): Promise<WrkResult> {
  const header = keepAlive ? [] : ['-H', 'Connection: close'];
  const argv = ['wrk', '--latency', '-t', '1', '-c', String(connections), '-d', `${seconds}s`, ...header, urlOf(address, path)] as const;
  const {stdout} = await run([...argv], {timeoutMs: seconds * 1000 + graceMs, signal});
  const failed = /Socket errors: .*|Non-2xx .*/.exec(stdout)?.[0];
  if (failed !== undefined) throw new Error(`wrk on port ${address.port}: ${failed}`);
  return {
    count: figure(stdout, /(\d+) requests in/),
    perSecond: figure(stdout, /Requests\/sec:\s+([\d.]+)/),
    p50Micros: micros(stdout, '50%'),
    p99Micros: micros(stdout, '99%'),
  };
}

/** Bytes per second of one answer. @throws Error when it was not `bytes` long */
export async function download(address: Address, {path, bytes, signal}: {path: string; bytes: number; signal: AbortSignal}): Promise<number> {
  const argv = ['curl', '--insecure', '--silent', '--show-error', '--fail', '--output', '/dev/null'] as const;
  const {stdout} = await run([...argv, '--write-out', '%{size_download} %{speed_download}', urlOf(address, path)], {timeoutMs: graceMs, signal});
  const [size, perSecond] = stdout.split(' ').map(Number);
  if (size !== bytes || perSecond === undefined) throw new Error(`curl on port ${address.port}: ${size} of ${bytes} bytes`);
  return perSecond;
}

/** Answers per second. @throws Error when more than one in a thousand was lost */
export async function dnsperf(port: number, {seconds, queriesFile, signal}: {seconds: number; queriesFile: string; signal: AbortSignal}): Promise<number> {
  const argv = ['dnsperf', '-s', '127.0.0.1', '-p', String(port), '-d', queriesFile, '-l', String(seconds), '-c', '8', '-q', '100'] as const;
  const {stdout} = await run([...argv], {timeoutMs: seconds * 1000 + graceMs, signal});
  const lost = figure(stdout, /Queries lost:\s+(\d+)/);
  const sent = figure(stdout, /Queries sent:\s+(\d+)/);
  if (lost > sent / 1000) throw new Error(`dnsperf on port ${port}: ${lost} of ${sent} queries were lost`);
  if (!/NOERROR \d+ \(100\.00%\)/.test(stdout)) throw new Error(`dnsperf on port ${port}: ${/Response codes:.*/.exec(stdout)?.[0] ?? 'no answers'}`);
  return figure(stdout, /Queries per second:\s+([\d.]+)/);
}

function urlOf({host, port, tls}: Address, path: string): string {
  return `${tls ? 'https' : 'http'}://${host}:${port}${path}`;
}

const unitMicros = {us: 1, ms: 1000, s: 1_000_000} as const;

function micros(text: string, share: string): number {
  const [, value, unit = ''] = new RegExp(`^\\s+${share}\\s+([\\d.]+)(us|ms|s)\\s*$`, 'm').exec(text) ?? [];
  if (value === undefined || !(unit in unitMicros)) throw new Error(`no ${share} in "${text.slice(0, 300)}"`);
  return Number(value) * unitMicros[unit as keyof typeof unitMicros];
}

function figure(text: string, pattern: RegExp): number {
  const found = pattern.exec(text)?.[1];
  if (found === undefined) throw new Error(`no ${pattern.source} in "${text.slice(0, 300)}"`);
  return Number(found);
}
