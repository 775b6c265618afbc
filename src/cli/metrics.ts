import {CodedError} from '../core/errors.ts';
import type {ControlHandler} from '../store/control.ts';
import type {Json} from '../store/json.ts';
import type {GatewaySnapshot} from './gateway-snapshot.ts';
import {metricsText} from './metrics-text.ts';
import {command} from './remote.ts';

const timeoutMs = 10_000;

/** Prints the metrics of a running gateway in Prometheus' text format. @returns the exit status */
export async function metrics(files: readonly string[] | undefined): Promise<number> {
  process.stdout.write(await textOf(await command(files, 'metrics', null, timeoutMs)));
  return 0;
}

/** The same in the gateway itself. @param commands undefined: it has no apps, and nothing to tell of */
export async function gatewayMetrics(commands: Readonly<Record<string, ControlHandler>> | undefined): Promise<string> {
  const answer = await commands?.['metrics']?.(null, AbortSignal.timeout(timeoutMs));
  return answer === undefined ? '' : textOf(answer);
}

async function textOf(answer: Json): Promise<string> {
  if (typeof answer !== 'string') throw new CodedError('ERR_BAD_ANSWER', 'Cannot read the metrics of the gateway: its answer is no text', {source: 'server'});
  return metricsText(JSON.parse(answer) as GatewaySnapshot);
}
