/** Finds and loads the configuration that a command speaks of. */
import {lookup} from 'node:dns/promises';
import {access} from 'node:fs/promises';
import {type Diagnostic, renderDiagnostic} from '../config/diagnostic.ts';
import {type LoadResult, loadConfig} from '../config/load.ts';
import type {SourceFile} from '../config/parse.ts';
import type {Config} from '../config/value.ts';
import {CodedError} from '../core/errors.ts';
import {checkCertificates} from '../edge/tls/check-certificates.ts';
import {givenEnvironment} from './environment.ts';

const defaultFile = '/etc/picogate/picogate.cfg';

/** @param files of the command line, if any */
export function configurationFiles(files: readonly string[] | undefined): readonly string[] {
  return files ?? [process.env['PICOGATE_CONFIG'] ?? defaultFile];
}

export type Loaded = LoadResult;

const lookupTimeoutMs = 3000;

/** Whether a name has an address, as far as this host can tell in a few seconds. */
async function hasAddress(host: string): Promise<boolean> {
  const {promise, resolve} = Promise.withResolvers<boolean>();
  const timer = setTimeout(() => resolve(false), lookupTimeoutMs);
  try {
    return await Promise.race([lookup(host).then(() => true), promise]);
  } catch {
    return false; // Why a name has no address does not matter: the gateway goes on asking.
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Certificates and what else TLS needs are checked too.
 * @param options.missingPath see loadConfig(); default: a warning
 * @param options.lookUpNames whether names of servers without an address are worth a warning
 * @throws CodedError ERR_NO_CONFIG when there is no such file
 */
export async function load(
  files: readonly string[] | undefined,
  {missingPath = 'warning', lookUpNames = false}: {missingPath?: Diagnostic['level']; lookUpNames?: boolean} = {},
): Promise<Loaded> {
  const paths = configurationFiles(files);
  for (const path of paths) {
    try {
      await access(path);
    } catch (cause) {
      const hint = files === undefined && process.env['PICOGATE_CONFIG'] === undefined ? '; name one with -f FILE or PICOGATE_CONFIG' : '';
      throw new CodedError('ERR_NO_CONFIG', `Cannot read configuration "${path}"${hint}`, {source: 'client', cause});
    }
  }
  const loaded = await loadConfig(paths, {env: givenEnvironment, missingPath, lookup: lookUpNames ? hasAddress : null});
  if (loaded.config === null) return loaded;
  const found = await checkCertificates(loaded.config);
  const diagnostics = [...loaded.diagnostics, ...found];
  return {sources: loaded.sources, config: found.some(({level}) => level === 'alert') ? null : {...loaded.config, warnings: diagnostics}, diagnostics};
}

/** Prints diagnostics to standard error, where HAProxy's users look for them. */
export function printDiagnostics(diagnostics: readonly Diagnostic[]): void {
  for (const diagnostic of diagnostics) process.stderr.write(`${renderDiagnostic(diagnostic)}\n`);
}

/** @throws CodedError ERR_BAD_CONFIG after the errors have been printed */
export async function loadValid(files: readonly string[] | undefined, options: {quiet: boolean}): Promise<Config> {
  return (await loadValidSources(files, options)).config;
}

/** The same, and what it was read from. @throws CodedError ERR_BAD_CONFIG after the errors have been printed */
export async function loadValidSources(
  files: readonly string[] | undefined,
  {quiet}: {quiet: boolean},
): Promise<{readonly config: Config; readonly sources: readonly SourceFile[]}> {
  const {config, diagnostics, sources} = await load(files);
  if (config === null || !quiet) printDiagnostics(diagnostics);
  if (config === null) throw new CodedError('ERR_BAD_CONFIG', 'Cannot go on: the configuration has errors', {source: 'client'});
  return {config, sources};
}
