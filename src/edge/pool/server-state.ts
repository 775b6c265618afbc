/**
 * The states of servers in a file, as `show servers state` writes them (HAProxy's management manual, section 9.3): what a line says, and what it
 * means for a server of the present configuration. Where the configuration has changed since, the configuration counts.
 */
import {isIP} from 'node:net';
import type {CheckPlace} from '../../config/health.ts';
import type {ServerConfig} from '../../config/proxy-value.ts';
import type {CheckResult, CheckStatus} from '../checks/check-result.ts';
import {bestHealth, initialHealth} from './server-health.ts';

/** How a server goes on. */
export interface RestoredState {
  readonly admin: 'ready' | 'drain' | 'maint';
  readonly weight: number;
  /** Between down and up; null: as a server begins. */
  readonly health: number | null;
  readonly isStopping: boolean;
  /** It has come up lately, and may have to start slowly. */
  readonly isStarting: boolean;
  readonly checksEnabled: boolean;
  readonly lastCheck: CheckResult | null;
  /** How long its state has been what it is. */
  readonly sinceMs: number;
}

export interface StateLine {
  readonly backend: string;
  readonly server: string;
  readonly words: readonly string[];
}

/** Of several lines about a server the first one counts. `empty`, or not of a version that is known: nothing is read. */
export type StateFileText =
  | {readonly kind: 'lines'; readonly lines: ReadonlyMap<string, StateLine>}
  | {readonly kind: 'empty' | 'other-version'}
  /** The file counts from 1. */
  | {readonly kind: 'corrupted'; readonly line: number};

const minWords = 20;
const maxWords = 25;

export function stateKey(backend: string, server: string): string {
  return `${backend} ${server}`;
}

/** One line that is cut off or too short spoils all, as the file was not written to its end. */
export function parseStateFile(text: string): StateFileText {
  if (text === '') return {kind: 'empty'};
  const rows = text.split('\n');
  if (rows[0] !== '1') return {kind: 'other-version'};
  const lines = new Map<string, StateLine>();
  const last = rows.length - 1;
  for (const [index, row] of rows.entries()) {
    if (index === 0 || (index === last && row === '')) continue;
    const content = row.trimStart();
    if (index === last) return {kind: 'corrupted', line: index + 1};
    if (content === '' || content.startsWith('#')) continue;
    const words = content.split(/[ \t]+/).slice(0, maxWords);
    const [, backend = '', , server = ''] = words;
    if (words.length < minWords) return {kind: 'corrupted', line: index + 1};
    const key = stateKey(backend, server);
    if (!lines.has(key)) lines.set(key, {backend, server, words});
  }
  return {kind: 'lines', lines};
}

/** Of administrative states. */
const forcedMaintenance = 1;
const inheritedMaintenance = 2;
const configuredMaintenance = 4;
const forcedDrain = 8;
const noAddress = 32;
const nameChanged = 64;
const knownStates = [0, forcedMaintenance, configuredMaintenance, forcedMaintenance | configuredMaintenance, forcedDrain, forcedDrain | configuredMaintenance];

/** Of checks. */
const isConfigured = 2;
const isEnabled = 4;

/** HAProxy's numbers. */
const statuses: ReadonlyMap<number, CheckStatus> = new Map([
  [5, 'SOCKERR'],
  [6, 'L4OK'],
  [7, 'L4TOUT'],
  [8, 'L4CON'],
  [9, 'L6OK'],
  [10, 'L6TOUT'],
  [11, 'L6RSP'],
  [12, 'L7TOUT'],
  [13, 'L7RSP'],
  [15, 'L7OK'],
  [16, 'L7OKC'],
  [17, 'L7STS'],
]);

export interface StateFields {
  readonly host: string;
  readonly operational: number;
  readonly administrative: number;
  readonly weight: number;
  readonly initialWeight: number;
  readonly sinceSeconds: number;
  readonly checkStatus: number;
  readonly checkHealth: number;
  readonly checkState: number;
  readonly agentState: number;
  readonly port: number;
  readonly service: string;
  readonly checks: PlaceWords;
  readonly agent: PlaceWords;
}

interface PlaceWords {
  readonly address: string;
  readonly port: string;
}

/** What is said of one server, or what is wrong with it; then nothing of it is taken. */
export function readStateLine({
  words,
}: StateLine): {readonly ok: true; readonly fields: StateFields} | {readonly ok: false; readonly problems: readonly string[]} {
  const problems: string[] = [];
  const number = (at: number, name: string, isValid: (value: number) => boolean): number => {
    const word = words[at] ?? '';
    const value = Number(word);
    if (!/^-?\d{1,15}$/.test(word) || !isValid(value)) problems.push(`invalid ${name} value '${word}'`);
    return value;
  };
  const any = (): boolean => true;
  const isWeight = (value: number): boolean => value >= 0 && value <= 256;
  const isCheckState = (value: number): boolean => value >= 0 && value < 32;
  const isFlag = (value: number): boolean => value === 0 || value === 1;
  const ignored = inheritedMaintenance | 16 | noAddress | nameChanged;
  const fields = {
    host: words[4] ?? '-',
    operational: number(5, 'srv_op_state', (value) => value >= 0 && value <= 3),
    administrative: number(6, 'srv_admin_state', (value) => knownStates.includes(value & ~ignored)),
    weight: number(7, 'srv_uweight', isWeight),
    initialWeight: number(8, 'srv_iweight', isWeight),
    sinceSeconds: number(9, 'srv_last_time_change', any),
    checkStatus: number(10, 'srv_check_status', (value) => value < 26),
    checkResult: number(11, 'srv_check_result', (value) => value >= 0 && value <= 4),
    checkHealth: number(12, 'srv_check_health', any),
    checkState: number(13, 'srv_check_state', isCheckState),
    agentState: number(14, 'srv_agent_state', isCheckState),
    isBackendNumbered: number(15, 'bk_f_forced_id', isFlag),
    isServerNumbered: number(16, 'srv_f_forced_id', isFlag),
    port: number(18, 'srv_port', (value) => value >= 0 && value <= 65_535),
    service: words[19] ?? '-',
    checks: {address: words[22] ?? '-', port: words[21] ?? '0'},
    agent: {address: words[23] ?? '-', port: words[24] ?? '0'},
  };
  return problems.length > 0 ? {ok: false, problems} : {ok: true, fields};
}

/**
 * An app is neither up nor down by what a file says: it counts as up while it sleeps, and its checks follow its wake. The same holds for a server that
 * has the state of another one.
 */
export function restoredState(config: ServerConfig, fields: StateFields): RestoredState {
  const {weight, initialWeight, sinceSeconds, checkStatus, checkState} = fields;
  const admin = adminState(config, fields);
  const status = statuses.get(checkStatus);
  const isItsOwn = config.target.kind !== 'app' && config.track === null;
  const operational = isItsOwn ? operationalState(config, fields, admin) : ({health: null, isStopping: false, isStarting: false} as const);
  return {
    admin,
    weight: initialWeight === config.weight ? weight : config.weight,
    ...operational,
    checksEnabled: config.check === null || (checkState & isConfigured) === 0 || (checkState & isEnabled) !== 0,
    lastCheck: isItsOwn && config.check !== null && status !== undefined ? {status, code: 0, info: '', durationMs: 0} : null,
    sinceMs: Math.max(0, sinceSeconds) * 1000,
  };
}

/** An operator had stopped it (`disable agent`). */
export function wasAgentStopped({agentState}: StateFields): boolean {
  return (agentState & isConfigured) !== 0 && (agentState & isEnabled) === 0;
}

/** Where checks went, what an operator had changed included; null: where the server itself was. */
export type RestoredPlace =
  | {readonly ok: true; readonly place: {readonly [Key in keyof CheckPlace]?: NonNullable<CheckPlace[Key]>} | null}
  | {readonly ok: false; readonly problem: string};

export function restoredPlace({address, port}: PlaceWords): RestoredPlace {
  if (address !== '-' && isIP(address) === 0) return {ok: false, problem: `invalid addr '${address}'`};
  if (!/^\d{1,15}$/.test(port)) return {ok: false, problem: 'provided port is not an integer'};
  if (Number(port) > 65_535) return {ok: false, problem: 'provided port is invalid'};
  if (address === '-' && port === '0') return {ok: true, place: null};
  return {ok: true, place: {...(address === '-' ? {} : {address}), ...(port === '0' ? {} : {port: Number(port)})}};
}

function adminState({disabled, weight}: ServerConfig, {administrative, initialWeight}: StateFields): RestoredState['admin'] {
  const wasDisabled = (administrative & configuredMaintenance) !== 0;
  if (wasDisabled === disabled ? (administrative & forcedMaintenance) !== 0 : disabled) return 'maint';
  // One that was drained by the weight of the configuration before is not, now that it has another one.
  return (administrative & forcedDrain) !== 0 && (initialWeight > 0 || weight === 0) ? 'drain' : 'ready';
}

function operationalState(
  {check}: ServerConfig,
  {operational, administrative, checkHealth, checkState}: StateFields,
  admin: RestoredState['admin'],
): Pick<RestoredState, 'health' | 'isStopping' | 'isStarting'> {
  const thresholds = check ?? {rise: 2, fall: 3};
  const first = check === null ? 1 : initialHealth(thresholds);
  const best = check === null ? 1 : bestHealth(thresholds);
  const stopped = {health: 0, isStopping: false, isStarting: false};
  const running = {health: best, isStopping: false, isStarting: false};
  switch (operational) {
    case 0: {
      const wasInMaintenance = (administrative & (forcedMaintenance | inheritedMaintenance | noAddress)) !== 0;
      if (wasInMaintenance) return {...stopped, health: admin === 'maint' ? 0 : null};
      // Nobody would bring up one whose checks are gone.
      return check === null && (checkState & isConfigured) !== 0 ? {...stopped, health: null} : stopped;
    }
    case 1:
      return thresholds.rise === 1 ? running : {health: first, isStopping: false, isStarting: true};
    case 3: {
      if (thresholds.fall === 1) return stopped;
      return {health: checkHealth >= first && checkHealth < best ? checkHealth : first, isStopping: true, isStarting: false};
    }
    default:
      return running;
  }
}

/**
 * Where a server was that is found by a name: it stays there until its name servers say otherwise. Of one with an address in the configuration only the
 * port counts, as in HAProxy. Null: nothing is known.
 */
export function restoredAddress(
  {target, keepsAddress}: ServerConfig,
  {host, port, service}: StateFields,
): {readonly host: string; readonly port: number} | null {
  if (target.kind !== 'address') return null;
  const at = port === 0 ? target.port : port;
  if (isIP(target.host) !== 0) return at === target.port ? null : {host: target.host, port: at};
  if (!keepsAddress || isIP(host) === 0) return null;
  return target.host.startsWith('_') && target.host.toLowerCase() !== service.toLowerCase() ? null : {host, port: at};
}
