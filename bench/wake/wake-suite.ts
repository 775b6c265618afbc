/**
 * How long a client waits that connects to a sleeping server, and what it costs: the same server woken eagerly, on demand and with
 * prediction, in turns, so that whatever else the machine does hits all alike.
 */
import {freePort} from '../../test/helpers/gateway.ts';
import {rootfsWith} from '../../test/helpers/rootfs.ts';
import {startBenchGateway} from '../bench-gateway.ts';
import type {Report, Sample, Suite, SuiteContext} from '../suite.ts';
import {measureAwake} from './awake.ts';
import {measureDeltas} from './deltas.ts';
import {measureIdle} from './idle.ts';
import {type BenchApp, renderApps} from './wake-apps.ts';
import type {WakeBench} from './wake-bench.ts';
import {measureWakes, planWakes} from './wake-cases.ts';
import {wakeReport} from './wake-report.ts';

const workingSetsBytes = [2 ** 12, 2 ** 16, 2 ** 19, 2 ** 21, 2 ** 23] as const;
const allWorkingSetsBytes = Array.from({length: 12}, (_, power) => 2 ** (12 + power));

export const wakeSuite: Suite = {
  name: 'wake',
  summary: 'connection to first answer of a sleeping server: whole image, on demand, predicted',
  defaultRounds: 20,
  run,
};

async function run(context: SuiteContext): Promise<Report> {
  const {rounds, signal, progress} = context;
  const rootfs = {python: await rootfsWith('python3'), nginx: await rootfsWith('nginx-light')};
  const samples: Sample[] = [];
  const record = (sample: Sample): void => {
    samples.push(sample);
    context.record(sample);
  };
  const withGateway = async (apps: readonly BenchApp[], use: (bench: WakeBench) => Promise<void>): Promise<void> => {
    await using gateway = await startBenchGateway({signal, configure: (programs) => renderApps(apps, {...rootfs, programs})});
    await use({rounds, signal, gateway, record, progress});
  };

  progress('a gateway with one hibernated app');
  const alone: BenchApp = {name: 'alone', kind: 'memory', mode: 'predicted', port: await freePort()};
  await withGateway([alone], (bench) => measureIdle(bench, alone));

  const plan = await planWakes(context.full ? allWorkingSetsBytes : workingSetsBytes, freePort);
  await withGateway(plan.apps, async (bench) => {
    await measureWakes(bench, plan);
    await measureDeltas(bench, plan.deltaApp);
    await measureAwake(bench, plan.webApp);
  });
  return wakeReport(samples, plan);
}
