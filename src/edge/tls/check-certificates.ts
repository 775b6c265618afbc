/** What is wrong with the files and lists that TLS of a configuration names, before anything listens; with HAProxy's words, which operators know. */
import {createSecureContext, type SecureContextOptions} from 'node:tls';
import type {Diagnostic} from '../../config/diagnostic.ts';
import {describePosition, type Position} from '../../config/position.ts';
import type {BackendConfig, Bind, FrontendConfig} from '../../config/proxy-value.ts';
import type {TlsBind, TlsServer} from '../../config/tls.ts';
import {CodedError, errorMessage} from '../../core/errors.ts';
import {showAddress} from '../addresses.ts';
import type {Certificate} from './certificate.ts';
import {findCertificates, readAuthorities, readCertificate} from './certificate-files.ts';
import {cipherOptions, versionOptions} from './context-options.ts';

type Report = (level: Diagnostic['level'], message: string) => void;

/** Every problem, in the order of the configuration. Reads each file as often as it is named. */
export async function checkCertificates(configuration: {
  readonly frontends: readonly FrontendConfig[];
  readonly backends: readonly BackendConfig[];
}): Promise<readonly Diagnostic[]> {
  const diagnostics: Diagnostic[] = [];
  const reportAt =
    (position: Position): Report =>
    (level, message) => {
      diagnostics.push({level, position, message});
    };
  for (const frontend of configuration.frontends) {
    for (const bind of frontend.binds) {
      if (bind.tls !== null) await checkBind(frontend.name, bind, bind.tls, reportAt(bind.position));
    }
  }
  for (const backend of configuration.backends) {
    for (const server of backend.servers) {
      if (server.tls !== null) await checkServer(`'server ${backend.name}/${server.name}'`, server.tls, reportAt(server.position));
    }
  }
  return diagnostics;
}

async function checkBind(frontend: string, bind: Bind, tls: TlsBind, report: Report): Promise<void> {
  const address = bind.unix?.path ?? showAddress(bind.host, bind.port);
  const inBind = `'bind ${address}' in section 'frontend'`;
  const forBind = `for bind '${address}' at [${describePosition(bind.position)}]`;
  let found = 0;
  for (const {path, verify, caFile} of tls.certificates) {
    const certificates = await checkCertificatePath(inBind, path, report);
    found += certificates.length;
    if (caFile !== null) await checkAuthorities(inBind, 'ca-file', caFile, report);
    if ((verify ?? tls.verify) !== 'none' && (caFile ?? tls.caFile) === null) {
      report('alert', `Proxy '${frontend}': verify is enabled but no CA file specified ${forBind}.`);
    }
  }
  if (found === 0 && tls.certificates.length === 0) report('alert', `Proxy '${frontend}': no SSL certificate specified ${forBind} (use 'crt').`);
  if (tls.caFile !== null) await checkAuthorities(inBind, 'ca-file', tls.caFile, report);
  if (tls.crlFile !== null) await checkAuthorities(inBind, 'crl-file', tls.crlFile, report);
  checkCiphers(`Proxy '${frontend}'`, forBind, tls, report);
}

async function checkServer(server: string, tls: TlsServer, report: Report): Promise<void> {
  if (tls.certificate !== null) await checkCertificatePath(server, tls.certificate, report);
  if (tls.caFile !== null) await checkAuthorities(server, 'ca-file', tls.caFile, report);
  else if (tls.verify === 'required') report('alert', `${server} : ${noAuthorities}`);
  if (tls.crlFile !== null) await checkAuthorities(server, 'crl-file', tls.crlFile, report);
  checkCiphers(server, 'for this server', tls, report);
}

const noAuthorities =
  'verify is enabled by default but no CA file specified. Where the certificate of the server is to be trusted as it is, say \'verify none\'; "ca-file @system-ca" is what the system trusts.';

async function checkCertificatePath(where: string, path: string, report: Report): Promise<readonly Certificate[]> {
  let paths: readonly string[];
  try {
    paths = await findCertificates(path);
  } catch (error) {
    report('alert', `${where} : ${messageOf(error)}.`);
    return [];
  }
  if (paths.length === 0) report('alert', `${where} : no certificate in directory '${path}'.`);
  const certificates: Certificate[] = [];
  for (const file of paths) {
    try {
      const certificate = await readCertificate(file);
      certificates.push(certificate);
      checkValidity(where, certificate, report);
    } catch (error) {
      report('alert', `${where} : ${messageOf(error)}.`);
    }
  }
  return certificates;
}

function checkValidity(where: string, {path, leaf}: Certificate, report: Report): void {
  const nowMs = Date.now();
  if (leaf.validToDate.getTime() < nowMs) report('warning', `${where} : the certificate '${path}' has expired (${leaf.validTo}).`);
  else if (leaf.validFromDate.getTime() > nowMs) report('warning', `${where} : the certificate '${path}' is not valid yet (${leaf.validFrom}).`);
}

async function checkAuthorities(where: string, keyword: 'ca-file' | 'crl-file', path: string, report: Report): Promise<void> {
  try {
    const {certificates, revocationLists} = await readAuthorities(path);
    const options: SecureContextOptions = {ca: [...certificates], ...(revocationLists.length === 0 ? {} : {crl: [...revocationLists]})};
    createSecureContext(options);
  } catch (error) {
    report('alert', `${where} : '${keyword}' : unable to load ${path}: ${messageOf(error)}.`);
  }
}

function checkCiphers(where: string, whose: string, tls: TlsBind | TlsServer, report: Report): void {
  const {ciphers, ciphersuites} = tls;
  if (ciphers !== null && !isUsable(cipherOptions({ciphers, ciphersuites: null})))
    report('alert', `${where}: unable to set SSL cipher list to '${ciphers}' ${whose}.`);
  // Node would take another name for a cipher of older versions.
  if (ciphersuites !== null && !(/^TLS_[^:]+(?::TLS_[^:]+)*$/.test(ciphersuites) && isUsable(cipherOptions({ciphers: null, ciphersuites})))) {
    report('alert', `${where}: unable to set TLS 1.3 cipher suites to '${ciphersuites}' ${whose}.`);
  }
  if (!isUsable(versionOptions(tls))) report('alert', `${where}: there is no version between ${tls.min} and ${tls.max} ${whose}.`);
}

function isUsable(options: SecureContextOptions): boolean {
  try {
    createSecureContext({...options, ca: []});
    return true;
  } catch {
    return false; // OpenSSL's words say less than the caller's.
  }
}

/** Ours say it all in HAProxy's words; their causes would say it again. */
function messageOf(error: unknown): string {
  return error instanceof CodedError ? error.message : errorMessage(error);
}
