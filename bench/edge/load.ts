/** Load from outside, by programs whose figures others have too: wrk and dnsperf. */
import {run} from '../../src/core/command.ts';

const connections = 32;
const graceMs = 30_000;

/** @throws Error when an answer was missing or was not the one that was asked for */
export async function wrk(port: number, {seconds, keepAlive, signal}: {seconds: number; keepAlive: boolean; signal: AbortSignal}): Promise<number> {
  const header = keepAlive ? [] : ['-H', 'Connection: close'];
  const argv = ['wrk', '-t', '1', '-c', String(connections), '-d', `${seconds}s`, ...header, `http://127.0.0.1:${port}/`] as const;
  const {stdout} = await run([...argv], {timeoutMs: seconds * 1000 + graceMs, signal});
  const failed = /Socket errors: .*|Non-2xx .*/.exec(stdout)?.[0];
  if (failed !== undefined) throw new Error(`wrk on port ${port}: ${failed}`);
  return figure(stdout, /Requests\/sec:\s+([\d.]+)/);
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

function figure(text: string, pattern: RegExp): number {
  const found = pattern.exec(text)?.[1];
  if (found === undefined) throw new Error(`no ${pattern.source} in "${text.slice(0, 300)}"`);
  return Number(found);
}
