/** Certificates made by the openssl program, in a directory of the test. */
import {readFile, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import {run} from '../../../src/core/command.ts';

const newKeys = {
  ecdsa: ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1'],
  rsa: ['-newkey', 'rsa:2048'],
} as const;

export interface MadeCertificate {
  /** Certificate and key in one. */
  readonly pemFile: string;
  readonly certificateFile: string;
  readonly keyFile: string;
}

export interface CertificateWish {
  readonly file: string;
  readonly subject?: string;
  readonly names?: readonly string[];
  readonly key?: keyof typeof newKeys;
  /** It was valid until yesterday. */
  readonly expired?: boolean;
  /** When it begins to be valid; needs an authority. */
  readonly from?: Date;
  /** Null: it signs itself. */
  readonly by?: TestAuthority | null;
}

export async function openssl(...args: string[]): Promise<string> {
  return (await run(['openssl', ...args], {timeoutMs: 20_000})).stdout;
}

export async function makeTestCertificate(directory: string, wish: CertificateWish): Promise<MadeCertificate> {
  const {file, names = [], key = 'ecdsa', by = null} = wish;
  const at = (ending: string): string => join(directory, `${file}.${ending}`);
  const [keyFile, requestFile, certificateFile, pemFile] = [at('key-only'), at('csr'), at('crt'), join(directory, file)];
  const alternatives = names.length === 0 ? [] : ['-addext', `subjectAltName=${names.map((name) => `DNS:${name}`).join(',')}`];
  await openssl(
    'req',
    '-new',
    ...newKeys[key],
    '-nodes',
    '-keyout',
    keyFile,
    '-out',
    requestFile,
    '-subj',
    wish.subject ?? `/CN=${names[0] ?? 'test'}`,
    ...alternatives,
  );
  const signer = by === null ? ['-signkey', keyFile] : ['-CA', by.certificateFile, '-CAkey', by.keyFile, '-CAcreateserial'];
  const validity = wish.expired === true ? ['-days', '-1'] : ['-days', '2'];
  if (wish.from !== undefined && by !== null) await signFrom(wish.from, {directory, requestFile, certificateFile, by});
  else await openssl('x509', '-req', '-in', requestFile, '-out', certificateFile, ...signer, ...validity, '-copy_extensions', 'copyall');
  await writeFile(pemFile, (await readFile(certificateFile, 'utf8')) + (await readFile(keyFile, 'utf8')));
  return {pemFile, certificateFile, keyFile};
}

interface Signing {
  readonly directory: string;
  readonly requestFile: string;
  readonly certificateFile: string;
  readonly by: TestAuthority;
}

/** Only `openssl ca` takes a time, to the second. */
async function signFrom(from: Date, {directory, requestFile, certificateFile, by}: Signing): Promise<void> {
  const [config, database] = [join(directory, 'ca.cnf'), join(directory, 'ca-index')];
  await writeFile(
    config,
    `[ca]\ndefault_ca=d\n[d]\ndatabase=${database}\ndefault_md=sha256\npolicy=p\nunique_subject=no\nrand_serial=yes\n[p]\ncommonName=supplied\n`,
  );
  await writeFile(database, '');
  const start = `${from.toISOString().replaceAll(/[-:T]|\..*/g, '')}Z`;
  const signer = ['-config', config, '-cert', by.certificateFile, '-keyfile', by.keyFile, '-outdir', directory];
  await openssl('ca', '-batch', ...signer, '-startdate', start, '-days', '2', '-notext', '-in', requestFile, '-out', certificateFile);
}

export interface TestAuthority {
  readonly certificateFile: string;
  readonly keyFile: string;
}

export async function makeTestAuthority(directory: string, name = 'authority'): Promise<TestAuthority> {
  const [certificateFile, keyFile] = [join(directory, `${name}.crt`), join(directory, `${name}.key`)];
  await openssl('req', '-x509', ...newKeys.ecdsa, '-nodes', '-keyout', keyFile, '-out', certificateFile, '-days', '2', '-subj', `/CN=${name} of a test`);
  return {certificateFile, keyFile};
}
