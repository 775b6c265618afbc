/** Reads the files with the states of servers and applies them, before any traffic (`load-server-state-from-file`). */
import {readFile} from 'node:fs/promises';
import type {StateFile} from '../../config/proxy-value.ts';
import {errorCode} from '../../core/errors.ts';
import type {Log} from '../../core/log.ts';
import {socketReason} from '../checks/check-failure.ts';
import type {AssignedServer} from './assignment.ts';
import type {Pool} from './pool.ts';
import {
  parseStateFile,
  readStateLine,
  restoredAddress,
  restoredPlace,
  restoredState,
  type StateFields,
  type StateFileText,
  type StateLine,
  stateKey,
  wasAgentStopped,
} from './server-state.ts';

type Lines = Extract<StateFileText, {kind: 'lines'}>['lines'];

/** Where servers are that are found by names, until the names are answered. */
export type KnownPlaces = ReadonlyMap<AssignedServer, {readonly host: string; readonly port: number}>;

/** Never fails: what cannot be read or does not fit is logged, and the servers begin as the configuration says. */
export async function loadServerStates(pools: Iterable<Pool>, log: Log): Promise<KnownPlaces> {
  const places = new Map<AssignedServer, {readonly host: string; readonly port: number}>();
  const files = new Map<string, Lines | null>();
  for (const {config, name, servers} of pools) {
    const {stateFile, disabled} = config;
    if (stateFile === null || disabled || servers.length === 0) continue;
    const key = stateFile.scope === 'global' ? stateFile.path : `${name} ${stateFile.path}`;
    const lines = files.has(key) ? files.get(key) : await readLines(stateFile, name, log);
    files.set(key, lines ?? null);
    if (lines === undefined || lines === null) continue;
    for (const server of servers) {
      const line = lines.get(stateKey(name, server.name));
      if (line !== undefined) restore(server, line, {path: stateFile.path, places, log});
    }
    if (stateFile.scope === 'local') reportUnknown(lines, {name, servers, path: stateFile.path, log});
  }
  return places;
}

async function readLines({scope, path}: StateFile, backend: string, log: Log): Promise<Lines | null> {
  const facts = {file: path, ...(scope === 'local' ? {backend} : {})};
  let text: string;
  try {
    text = await readFile(path, 'latin1');
  } catch (error) {
    // Before the first reload there is none.
    const level = errorCode(error) === 'ENOENT' ? 'info' : 'warn';
    log[level]({...facts, error: socketReason(error)}, 'the file with the states of servers cannot be read');
    return null;
  }
  const parsed = parseStateFile(text);
  switch (parsed.kind) {
    case 'lines':
      return parsed.lines;
    case 'empty':
      log.info(facts, 'the file with the states of servers is empty');
      return null;
    case 'other-version':
      log.warn(facts, 'the file with the states of servers does not begin with a version that is known (1)');
      return null;
    case 'corrupted':
      log.warn({...facts, line: parsed.line}, 'the file with the states of servers is corrupted: none of it is taken');
      return null;
    default:
      return parsed satisfies never;
  }
}

function restore(
  server: AssignedServer,
  line: StateLine,
  {path, places, log}: {readonly path: string; readonly places: Map<AssignedServer, {readonly host: string; readonly port: number}>; readonly log: Log},
): void {
  const {backend, server: name} = line;
  const read = readStateLine(line);
  if (!read.ok) {
    log.warn({file: path, backend, server: name, problems: read.problems.join(', ')}, 'the state of a server is not taken over');
    return;
  }
  const place = restoredAddress(server.config, read.fields);
  if (place !== null) {
    if (server.config.resolvers === null) server.setAddress(place.host, place.port);
    else places.set(server, place);
  }
  server.restore(restoredState(server.config, read.fields));
  const problem = restorePlaces(server, read.fields);
  if (problem !== null) log.warn({file: path, backend, server: name, problem}, 'the state of a server is taken over in part');
}

/** Where the checks go and where the agent is, as in HAProxy: not of what is stopped, and nothing of the agent after checks that cannot be changed. */
function restorePlaces(server: AssignedServer, fields: StateFields): string | null {
  const {agent, checksEnabled, config} = server;
  if (agent !== null && wasAgentStopped(fields)) agent.isEnabled = false;
  const checks = restoredPlace(fields.checks);
  if (!checks.ok) return checks.problem;
  if (checks.place !== null) {
    if (config.check === null || !checksEnabled) return null;
    server.checkPlace = {address: config.check.address, port: config.check.port, ...checks.place};
  }
  if (agent?.isEnabled !== true) return null;
  const asked = restoredPlace(fields.agent);
  if (!asked.ok) return asked.problem;
  if (asked.place !== null) agent.change(asked.place);
  return null;
}

function reportUnknown(
  lines: Lines,
  {name, servers, path, log}: {readonly name: string; readonly servers: readonly AssignedServer[]; readonly path: string; readonly log: Log},
): void {
  for (const {backend, server} of lines.values()) {
    if (backend !== name || servers.some((known) => known.name === server)) continue;
    log.warn({file: path, backend, server}, 'the file with the states of servers names one that is not there');
  }
}
