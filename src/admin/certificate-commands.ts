/** Commands that replace certificates while the gateway runs (management manual, section 9.3). */
import {errorMessage} from '../core/errors.ts';
import {type Command, type CommandContext, refuse} from './command.ts';
import type {CertificateFacts, CertificatesControl} from './gateway-control.ts';

const missingPayload = "'set ssl cert expects a filename and a certificate as a payload\n";

function set({control: {certificates}, args: [path], payload}: CommandContext): string {
  if (path === undefined || payload === null) return refuse(missingPayload);
  const inTransaction = isStaged(certificates, path);
  try {
    certificates.stage(path, payload);
  } catch (error) {
    return refuse(`${errorMessage(error)}\nCan't update ${path}!\n`);
  }
  return `Transaction ${inTransaction ? 'updated' : 'created'} for certificate ${path}!\n`;
}

function commit({control: {certificates}, args: [path]}: CommandContext): string {
  if (path === undefined) return refuse("'commit ssl cert expects a filename\n");
  if (!isStaged(certificates, path)) return refuse(`No ongoing transaction! !\nCan't commit ${path}!\n`);
  try {
    certificates.commit(path);
  } catch (error) {
    return refuse(`${errorMessage(error)}\nCan't commit ${path}!\n`);
  }
  return `Committing ${path}.\nSuccess!\n`;
}

function abort({control: {certificates}, args: [path]}: CommandContext): string {
  if (path === undefined) return refuse("'abort ssl cert' expects a filename\n");
  if (!isStaged(certificates, path)) return refuse('No ongoing transaction!\n');
  certificates.abort(path);
  return `Transaction aborted for certificate '${path}'!\n`;
}

function isStaged(certificates: CertificatesControl, path: string): boolean {
  return [...certificates.staged()].includes(path);
}

function* list(certificates: CertificatesControl): Generator<string> {
  const staged = [...certificates.staged()];
  if (staged.length > 0) yield `# transaction\n${staged.map((path) => `*${path}\n`).join('')}`;
  yield '# filename\n';
  for (const path of certificates.list()) yield `${path}\n`;
}

function describe(facts: CertificateFacts, which: 'used' | 'staged'): string {
  const {chain} = facts;
  return [
    `Filename: ${which === 'staged' ? '*' : ''}${facts.path}`,
    `Status: ${which === 'staged' ? 'Unused' : 'Used'}`,
    `Serial: ${facts.serial}`,
    `notBefore: ${facts.notBefore}`,
    `notAfter: ${facts.notAfter}`,
    `Subject Alternative Name: ${facts.names.map((name) => `DNS:${name}`).join(', ')}`,
    `Algorithm: ${facts.algorithm}`,
    `SHA1 FingerPrint: ${facts.sha1Fingerprint}`,
    `Subject: ${facts.subject}`,
    `Issuer: ${facts.issuer}`,
    ...(chain === null ? [] : [`Chain Subject: ${chain.subject}`, `Chain Issuer: ${chain.issuer}`]),
    'OCSP Response Key: ',
    '',
  ].join('\n');
}

function show({control: {certificates}, args: [path]}: CommandContext): string | Iterable<string> {
  if (path === undefined) return list(certificates);
  const which = path.startsWith('*') ? 'staged' : 'used';
  const facts = certificates.find(which === 'staged' ? path.slice(1) : path, which);
  return facts === null ? notFound() : describe(facts, which);
}

function notFound(): never {
  return refuse("Can't display the certificate: Not found or the certificate is a bundle!\n");
}

export const certificateCommands: readonly Command[] = [
  {name: 'abort ssl cert', args: '<certfile>', help: 'abort a transaction for a certificate file', level: 'admin', run: abort},
  {name: 'commit ssl cert', args: '<certfile>', help: 'commit a certificate file', level: 'admin', run: commit},
  {name: 'set ssl cert', args: '<certfile> <payload>', help: 'replace a certificate file', level: 'admin', run: set},
  {
    name: 'show ssl cert',
    args: '[<certfile>]',
    help: 'display the SSL certificates used in memory, or the details of a file',
    level: 'operator',
    run: show,
  },
];
