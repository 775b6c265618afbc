import {CodedError} from '../core/errors.ts';
import type {ControlHandler} from '../store/control-message.ts';
import type {Json} from '../store/json.ts';
import type {GatewaySnapshot} from './gateway-snapshot.ts';
import {type MetricSources, metricsText} from './metrics-text.ts';
import {processNumbers} from './process-numbers.ts';
import {command} from './remote.ts';

const timeoutMs = 10_000;

/** Prints the metrics of a running gateway's apps in Prometheus' text format; those of its traffic are served on `/metrics` of a statistics listener. @returns the exit status */
export async function metrics(files: readonly string[] | undefined): Promise<number> {
  const apps = snapshotIn(await command(files, 'metrics', null, timeoutMs));
  process.stdout.write(metricsText({process: apps.process, apps, traffic: null, holds: null}));
  return 0;
}

/**
 * The same in the gateway itself, with its traffic.
 * @param commands undefined: it has no apps
 */
export async function gatewayMetrics(
  commands: Readonly<Record<string, ControlHandler>> | undefined,
  parts: Pick<MetricSources, 'traffic' | 'holds'>,
): Promise<string> {
  const answer = await commands?.['metrics']?.(null, AbortSignal.timeout(timeoutMs));
  const apps = answer === undefined ? null : snapshotIn(answer);
  return metricsText({process: apps?.process ?? (await processNumbers()), apps, ...parts});
}

function snapshotIn(answer: Json): GatewaySnapshot {
  if (typeof answer !== 'string') throw new CodedError('ERR_BAD_ANSWER', 'Cannot read the metrics of the gateway: its answer is no text', {source: 'server'});
  return JSON.parse(answer) as GatewaySnapshot;
}
