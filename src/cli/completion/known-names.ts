import {openState} from '../../store/state.ts';
import {openWorkers} from '../../store/workers.ts';
import {connectToGateway} from '../remote.ts';

/** Those of the configuration, and those that the gateway has besides. */
export async function readApps(files: readonly string[] | undefined): Promise<readonly string[]> {
  const {config, connection} = await connectToGateway(files);
  await using owned = connection;
  const known = await openState(owned).listApps();
  return [...new Set<string>([...config.apps.map(({name}) => name), ...known.keys()])].sort();
}

export async function readWorkers(files: readonly string[] | undefined): Promise<readonly string[]> {
  const {connection} = await connectToGateway(files);
  await using owned = connection;
  return (await openWorkers(owned).list()).map(({name}) => name);
}
