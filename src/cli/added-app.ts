/** `picogate app`: apps that are added to a running gateway, and taken away again. */
import {combineSources} from '../config/added-sources.ts';
import type {Config} from '../config/value.ts';
import {CodedError, errorCode} from '../core/errors.ts';
import {getName, type NamedImage} from '../pager/images/rootfs-image-object.ts';
import {type AddedApp, openAddedApps} from '../store/added-apps.ts';
import type {Connection} from '../store/connection.ts';
import {callControl} from '../store/control.ts';
import type {Json} from '../store/json.ts';
import {type AppOptions, appSections} from './app-section.ts';
import {loadValid} from './configuration.ts';
import {confirm} from './confirm.ts';
import {givenEnvironment} from './environment.ts';
import {ago} from './format.ts';
import {type Column, type Listing, type ListingOptions, list} from './listing.ts';
import {openObjects} from './open-objects.ts';
import {connectToGateway, type GatewayConnection} from './remote.ts';

type Files = readonly string[] | undefined;

/** Stopping an app includes a checkpoint of it. */
const changeTimeoutMs = 5 * 60_000;

/** Whether it comes from the files of the configuration, or was added. */
export type Origin = 'file' | 'added';

export interface ListedApp {
  readonly name: string;
  readonly origin: Origin;
  /** What was added under its name; with the origin `file` that does not count. */
  readonly added: AddedApp | null;
  /** Why it is left out; null: it is not. */
  readonly problem: string | null;
}

/** All apps of a gateway: those of the files, then those that were added. */
export async function allApps(
  {config, sources}: Pick<GatewayConnection, 'config' | 'sources'>,
  connection: Connection,
): Promise<{config: Config; apps: readonly ListedApp[]}> {
  const {apps: added} = await openAddedApps(connection).read();
  const combined = await combineSources(sources, added, {env: givenEnvironment, missingPath: 'warning'});
  const addedNames = new Map(added.map((app) => [app.name, app]));
  const inFiles = config.apps.map(({name}): ListedApp => ({name, origin: 'file', added: addedNames.get(name) ?? null, problem: null}));
  const others = added
    .filter(({name}) => !combined.inFiles.has(name))
    .map((app): ListedApp => ({name: app.name, origin: 'added', added: app, problem: combined.refused.get(app.name)?.[0]?.message ?? null}));
  return {config: combined.config ?? config, apps: [...inFiles, ...others]};
}

/** `file (also added)`: the file's counts. */
export function originText({origin, added}: Pick<ListedApp, 'origin' | 'added'>): string {
  return origin === 'file' && added !== null ? 'file (also added)' : origin;
}

/** @throws CodedError ERR_NO_IMAGE, ERR_NO_PROGRAM; what cannot be found out now is found out when the app is started */
async function expectImage(config: Config, name: string, {image, exec}: Pick<AppOptions, 'image' | 'exec'>): Promise<void> {
  if (image === undefined) return;
  const refuse = (code: string, found: string): CodedError => new CodedError(code, `Cannot add app "${name}": ${found}`, {source: 'client'});
  await using scope = new AsyncDisposableStack();
  const read = async (): Promise<NamedImage> => getName(await openObjects(config, scope), image);
  const named = await read().catch((error: unknown) => {
    if (errorCode(error) === 'ERR_NO_OBJECT') throw refuse('ERR_NO_IMAGE', `there is no image "${image}"; "picogate image import" makes one`);
  });
  if (named === undefined || exec !== undefined || (named.config?.entrypoint.length ?? 0) + (named.config?.cmd.length ?? 0) > 0) return;
  throw refuse('ERR_NO_PROGRAM', `image "${image}" does not say which program to start; --exec does`);
}

/** @throws CodedError that says how a gateway without apps can be told of one; else what it was given */
async function explainAbsence(files: Files, cause: unknown): Promise<never> {
  if (errorCode(cause) !== 'ERR_NO_GATEWAY') throw cause;
  const {apps, global} = await loadValid(files, {quiet: true});
  if (apps.length > 0 || global.dynamicApps) throw cause;
  const found = `a gateway without apps cannot be told of one; put "dynamic-apps" into section "global" of its configuration, and reload`;
  throw new CodedError('ERR_NO_GATEWAY', `Cannot add an app: ${found}`, {source: 'client'});
}

/** @returns the exit status */
export async function addApp(files: Files, name: string, options: AppOptions): Promise<number> {
  const text = appSections(name, options);
  const {config, connection} = await connectToGateway(files).catch((error: unknown) => explainAbsence(files, error));
  await using owned = connection;
  await expectImage(config, name, options);
  const answer = await callControl(owned, 'app add', {name, text}, {timeoutMs: changeTimeoutMs});
  const warnings: Json = typeof answer === 'object' && answer !== null && 'warnings' in answer ? answer.warnings : [];
  if (Array.isArray(warnings)) for (const warning of warnings) process.stderr.write(`${String(warning)}\n`);
  process.stdout.write(`${name}: added\n`);
  return 0;
}

/** @returns the exit status */
export async function removeApp(files: Files, name: string, {yes, purge}: {yes: boolean; purge: boolean}): Promise<number> {
  const {connection} = await connectToGateway(files);
  await using owned = connection;
  const checkpoints = purge ? 'with its checkpoints and everything that it has written' : 'its checkpoints are kept';
  await confirm(`Remove app "${name}", ${checkpoints}?`, {yes});
  const answer = await callControl(owned, 'app rm', {name, purge}, {timeoutMs: changeTimeoutMs});
  const purged = typeof answer === 'object' && answer !== null && 'purged' in answer && answer.purged === true;
  process.stdout.write(`${name}: removed${purged ? ', with all that was kept of it' : ''}\n`);
  return 0;
}

function columnsAt(nowMs: number): readonly Column<ListedApp>[] {
  return [
    {head: 'NAME', name: 'name', value: ({name}) => name, shortest: 12},
    {head: 'ORIGIN', name: 'origin', value: ({origin}) => origin, text: originText},
    {head: 'ADDED', name: 'added_at', value: ({added}) => added?.at ?? null, text: ({added}) => (added === null ? '-' : ago(added.at, nowMs)), rank: 1},
    {head: 'LEFT OUT', name: 'problem', value: ({problem}) => problem, rank: 2},
  ];
}

/** @returns the exit status: 1 when an app is left out */
export function listApps(files: Files, options: ListingOptions): Promise<number> {
  return list(options, async (): Promise<Listing<ListedApp>> => {
    const gateway = await connectToGateway(files);
    await using owned = gateway.connection;
    const {apps} = await allApps(gateway, owned);
    return {columns: columnsAt(Date.now()), rows: apps, json: (rows) => rows, exitStatus: apps.some(({problem}) => problem !== null) ? 1 : 0};
  });
}
