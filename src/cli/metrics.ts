import {CodedError} from '../core/errors.ts';
import type {GatewaySnapshot} from './gateway-snapshot.ts';
import {metricsText} from './metrics-text.ts';
import {command} from './remote.ts';

const timeoutMs = 10_000;

/** Prints the metrics of a running gateway in Prometheus' text format. @returns the exit status */
export async function metrics(files: readonly string[] | undefined): Promise<number> {
  const answer = await command(files, 'metrics', null, timeoutMs);
  if (typeof answer !== 'string') throw new CodedError('ERR_BAD_ANSWER', 'Cannot read the metrics of the gateway: its answer is no text', {source: 'server'});
  process.stdout.write(await metricsText(JSON.parse(answer) as GatewaySnapshot));
  return 0;
}
