/** What Redis keeps about an app, and its form there: a hash of readable fields. Parsed and validated here, once. */
import {CodedError} from '../core/errors.ts';
import {type AppName, type Generation, generation as toGeneration} from '../core/ids.ts';
import {type Json, parseJson} from './json.ts';

export const appStates = ['hibernated', 'reviving', 'running', 'draining', 'checkpointing', 'stopped', 'failed'] as const;
export type AppState = (typeof appStates)[number];
export const residencies = ['hot', 'warm', 'cold', 'none'] as const;
export type Residency = (typeof residencies)[number];

export interface LastWake {
  /** Milliseconds since 1970, as all times here. */
  readonly at: number;
  readonly ms: number;
  /** As `describeTrigger` has it. */
  readonly trigger: string;
  readonly predictedPages: number;
  readonly faults: number;
  readonly installedPages?: number;
  /** Where the time went; missing in records of before. */
  readonly phases?: WakePhases;
}

/** Milliseconds. The phases overlap: the lease is asked for while the restore goes on, and pages come while CRIU makes the processes. */
export type WakePhases = {
  /** From when the app was first wanted to the beginning of the wake: a sleep that was under way had to end. */
  readonly holdMs: number;
  /** From the beginning to the lease. */
  readonly placeMs: number;
  /** From the beginning until the app's processes run; of an app that starts from its files, until its program runs. */
  readonly restoreMs: number;
  /** Of that, from when CRIU may make the processes until they run; null: of an app that started from its files. */
  readonly criuMs: number | null;
  /** From then until it is ready, as `ready` says. */
  readonly readyMs: number;
  /** From when the pager was told that the app wakes until the predicted pages were there; null: there were none, or they are still coming. */
  readonly pagesMs: number | null;
};

/** Why an app was put to sleep. */
export const sleepCauses = ['idle', 'memory', 'operator', 'stop', 'checkpoint', 'drain'] as const;
export type SleepCause = (typeof sleepCauses)[number];

export interface LastHibernate {
  readonly at: number;
  readonly ms: number;
  readonly frozenMs: number;
  readonly bytesWritten: number;
  readonly pageCount?: number;
  readonly cause: SleepCause;
}

/** An operator wants the app to stay awake. */
export interface Pin {
  /** Null: until it is unpinned. */
  readonly until: number | null;
}

export interface LastError {
  readonly at: number;
  readonly message: string;
}

/** How the app ended by itself the last time: with a status, by a signal, or nobody saw how. */
export type LastExit =
  | {readonly kind: 'exited'; readonly code: number; readonly at: number}
  | {readonly kind: 'killed'; readonly signal: string; readonly at: number}
  | {readonly kind: 'unknown'; readonly at: number};

export interface AppRecord {
  readonly name: AppName;
  readonly state: AppState;
  readonly residency: Residency;
  /** The newest committed checkpoint; moved by `commitGeneration` only. */
  readonly generation: Generation | null;
  readonly worker: string | null;
  /** Network index: assigned once, kept as long as the app is known. */
  readonly index: number;
  readonly since: number;
  readonly lastWake: LastWake | null;
  readonly lastHibernate: LastHibernate | null;
  readonly lastError: LastError | null;
  readonly lastExit: LastExit | null;
  /** Layers and the like: opaque here. */
  readonly details: Json;
  /** By an operator; it may be over. */
  readonly pin: Pin | null;
}

/** What an owner may change at any time. */
export type AppFields = Omit<AppRecord, 'name' | 'index' | 'generation' | 'pin'>;

/** Field, value, field, value: as HSET and the scripts take them. */
export function encodeFields(fields: Partial<AppFields>): string[] {
  const flat: string[] = [];
  if (fields.state !== undefined) flat.push('state', fields.state);
  if (fields.residency !== undefined) flat.push('residency', fields.residency);
  if (fields.worker !== undefined) flat.push('worker', fields.worker ?? '');
  if (fields.since !== undefined) flat.push('since', String(fields.since));
  if (fields.lastWake !== undefined) flat.push('lastWake', JSON.stringify(fields.lastWake));
  if (fields.lastHibernate !== undefined) flat.push('lastHibernate', JSON.stringify(fields.lastHibernate));
  if (fields.lastError !== undefined) flat.push('lastError', JSON.stringify(fields.lastError));
  if (fields.lastExit !== undefined) flat.push('lastExit', JSON.stringify(fields.lastExit));
  if (fields.details !== undefined) flat.push('details', JSON.stringify(fields.details));
  return flat;
}

export function encodeRecord(record: AppRecord): string[] {
  const generation = record.generation === null ? '' : String(record.generation);
  return ['generation', generation, 'index', String(record.index), 'pin', encodePin(record.pin), ...encodeFields(record)];
}

export function encodePin(pin: Pin | null): string {
  return JSON.stringify(pin);
}

/** Reads the fields of one hash; every complaint names the key, the field and what is there. */
class FieldReader {
  readonly #key: string;
  readonly #hash: ReadonlyMap<string, string>;

  constructor(key: string, hash: ReadonlyMap<string, string>) {
    this.#key = key;
    this.#hash = hash;
  }

  fail(field: string, wanted: string): never {
    const value = this.#hash.get(field);
    const found = value === undefined ? 'is missing' : `is ${JSON.stringify(value.length > 80 ? `${value.slice(0, 80)}...` : value)}`;
    throw new CodedError('ERR_BAD_STATE', `Cannot read Redis key "${this.#key}": field "${field}" ${found}, not ${wanted}`, {source: 'host'});
  }

  text(field: string): string {
    return this.#hash.get(field) ?? this.fail(field, 'a text');
  }

  oneOf<T extends string>(field: string, values: readonly T[]): T {
    const text = this.#hash.get(field);
    return values.find((value) => value === text) ?? this.fail(field, `one of ${values.join(', ')}`);
  }

  integer(field: string): number {
    const text = this.#hash.get(field) ?? '';
    const value = Number(text);
    return /^\d{1,16}$/.test(text) && Number.isSafeInteger(value) ? value : this.fail(field, 'a whole number');
  }

  json(field: string): Json {
    const text = this.#hash.get(field);
    const value = text === undefined ? undefined : parseJson(text);
    return value === undefined ? this.fail(field, 'JSON') : value;
  }

  /** An object with numbers under all of `numbers` and texts under all of `texts`, or null. */
  facts<N extends string, T extends string>(field: string, numbers: readonly N[], texts: readonly T[]): (Record<N, number> & Record<T, string>) | null {
    const value = this.json(field);
    if (value === null) return null;
    const facts = new Map(typeof value === 'object' && !Array.isArray(value) ? Object.entries(value) : []);
    const fine = numbers.every((name) => typeof facts.get(name) === 'number') && texts.every((name) => typeof facts.get(name) === 'string');
    if (!fine) this.fail(field, `null or an object with ${[...numbers, ...texts].join(', ')}`);
    return Object.fromEntries([...numbers, ...texts].map((name) => [name, facts.get(name)])) as Record<N, number> & Record<T, string>;
  }
}

function decodeLastWake(reader: FieldReader): LastWake | null {
  const facts = reader.facts('lastWake', ['at', 'ms', 'predictedPages', 'faults'], ['trigger']);
  const all = reader.json('lastWake');
  if (facts === null || typeof all !== 'object' || all === null || Array.isArray(all)) return null;
  const {installedPages, phases} = all as {readonly [name: string]: Json | undefined};
  if (installedPages !== undefined && typeof installedPages !== 'number') reader.fail('lastWake', 'an object whose installedPages is a number');
  const known = decodePhases(phases);
  return {...facts, ...(installedPages === undefined ? {} : {installedPages}), ...(known === null ? {} : {phases: known})};
}

/** Null when not all of them are there. */
function decodePhases(value: Json | undefined): WakePhases | null {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return null;
  const {holdMs, placeMs, restoreMs, criuMs, readyMs, pagesMs} = value as {readonly [name: string]: Json | undefined};
  if (typeof holdMs !== 'number' || typeof placeMs !== 'number' || typeof restoreMs !== 'number' || typeof readyMs !== 'number') return null;
  const optional = (ms: Json | undefined): number | null => (typeof ms === 'number' ? ms : null);
  return {holdMs, placeMs, restoreMs, criuMs: optional(criuMs), readyMs, pagesMs: optional(pagesMs)};
}

function decodePin(reader: FieldReader): Pin | null {
  const value = reader.json('pin');
  if (value === null) return null;
  const until = typeof value === 'object' && 'until' in value ? value.until : undefined;
  return until === null || typeof until === 'number' ? {until} : reader.fail('pin', 'null or an object whose until is null or a number');
}

function decodeLastHibernate(reader: FieldReader): LastHibernate | null {
  const facts = reader.facts('lastHibernate', ['at', 'ms', 'frozenMs', 'bytesWritten'], []);
  if (facts === null) return null;
  const all = reader.json('lastHibernate');
  const {cause, pageCount} = typeof all === 'object' && all !== null && 'cause' in all ? all : {cause: undefined, pageCount: undefined};
  // Records of before say nothing of them.
  const known = {...facts, cause: sleepCauses.find((one) => one === cause) ?? 'idle'};
  return typeof pageCount === 'number' ? {...known, pageCount} : known;
}

function decodeLastExit(reader: FieldReader): LastExit | null {
  const value = reader.json('lastExit');
  if (value === null) return null;
  const facts = new Map<string, Json>(typeof value === 'object' && !Array.isArray(value) ? Object.entries(value) : []);
  const [at, kind, code, signal] = ['at', 'kind', 'code', 'signal'].map((name) => facts.get(name));
  if (typeof at === 'number') {
    if (kind === 'unknown') return {kind, at};
    if (kind === 'exited' && typeof code === 'number') return {kind, code, at};
    if (kind === 'killed' && typeof signal === 'string') return {kind, signal, at};
  }
  return reader.fail('lastExit', 'null or an object with at, kind, and what belongs to it');
}

/** @throws CodedError ERR_BAD_STATE naming key, field and value */
export function decodeRecord(name: AppName, key: string, hash: ReadonlyMap<string, string>): AppRecord {
  const reader = new FieldReader(key, hash);
  const pointer = reader.text('generation') === '' ? null : reader.integer('generation');
  if (pointer === 0) reader.fail('generation', 'a generation');
  const worker = reader.text('worker');
  return {
    name,
    state: reader.oneOf('state', appStates),
    residency: reader.oneOf('residency', residencies),
    generation: pointer === null ? null : toGeneration(pointer),
    worker: worker === '' ? null : worker,
    index: reader.integer('index'),
    since: reader.integer('since'),
    lastWake: decodeLastWake(reader),
    lastHibernate: decodeLastHibernate(reader),
    lastError: reader.facts('lastError', ['at'], ['message']),
    // Records of before say nothing of it.
    lastExit: hash.has('lastExit') ? decodeLastExit(reader) : null,
    details: reader.json('details'),
    pin: hash.has('pin') ? decodePin(reader) : null,
  };
}
