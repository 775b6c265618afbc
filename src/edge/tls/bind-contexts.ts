/** What a bind's configuration and certificates come to for one client: the handshaker with everything set. Made when it is needed first, and anew when a certificate was replaced, or a key of tickets. */
import {constants, createHash} from 'node:crypto';
import type {TlsOptions} from 'node:tls';
import type {CertificateSource, TlsBind} from '../../config/tls.ts';
import {type Authorities, readAuthorities} from './certificate-files.ts';
import type {CertificateStore} from './certificate-store.ts';
import {cipherOptions, versionOptions} from './context-options.ts';
import {createHandshaker, type Handshaker} from './handshake.ts';
import {type Choice, indexServerNames, type ServerNames, settingsOf} from './server-names.ts';
import type {TicketKeyFiles} from './ticket-keys.ts';

export interface ClientContext {
  readonly handshaker: Handshaker;
  readonly verify: 'none' | 'optional' | 'required';
}

export interface BindContexts {
  /** Null: this client is refused because of the name. */
  choose(hello: {readonly sni: string | null; readonly alpn: readonly string[]}): ClientContext | null;
}

interface ContextSources {
  readonly store: CertificateStore;
  readonly ticketKeys: Buffer;
  readonly ticketKeyFiles?: TicketKeyFiles;
}

/**
 * @param source.ticketKeys 48 bytes; sessions go on wherever the same keys are in use
 * @param source.ticketKeyFiles has that of the bind
 * @throws CodedError ERR_CA_FILE
 */
export async function openBindContexts(bind: TlsBind, {store, ticketKeys, ticketKeyFiles}: ContextSources): Promise<BindContexts> {
  const keyFile = bind.ticketKeysFile === null ? null : (ticketKeyFiles?.get(bind.ticketKeysFile) ?? null);
  let keys = keyFile?.current ?? ticketKeys;
  const authorities = await readBindAuthorities(bind);
  let names: ServerNames = indexOf(bind, store);
  let revision = store.revision;
  let contexts = new Map<string, ClientContext>();

  const contextOf = (choice: Choice, alpn: string | null): ClientContext => {
    const key = JSON.stringify([settingsOf(choice.source), choice.certificates.map(({path}) => path), alpn]);
    let context = contexts.get(key);
    if (context === undefined) {
      context = createContext(bind, choice, {alpn, authorities, ticketKeys: keys});
      contexts.set(key, context);
    }
    return context;
  };

  return {
    choose({sni, alpn}) {
      if (revision !== store.revision || (keyFile !== null && keys !== keyFile.current)) {
        keys = keyFile?.current ?? ticketKeys;
        revision = store.revision;
        names = indexOf(bind, store);
        contexts = new Map();
      }
      const choice = (sni === null ? null : names.find(sni)) ?? (bind.strictSni ? null : names.fallback);
      if (choice === null) return null;
      // Our order of preference. Without a protocol in common the client gets none, as in HAProxy, where Node would refuse it.
      const common = (choice.source.alpn ?? bind.alpn).find((name) => alpn.includes(name));
      return contextOf(choice, common ?? null);
    },
  };
}

function indexOf(bind: TlsBind, store: CertificateStore): ServerNames {
  return indexServerNames(bind.certificates.map((source) => ({source, certificates: store.certificatesOf(source.path)})));
}

type AuthoritiesByPath = ReadonlyMap<string, Authorities>;

async function readBindAuthorities(bind: TlsBind): Promise<AuthoritiesByPath> {
  const paths = [bind.caFile, bind.crlFile, ...bind.certificates.map(({caFile}) => caFile)].filter((path) => path !== null);
  return new Map(await Promise.all([...new Set(paths)].map(async (path) => [path, await readAuthorities(path)] as const)));
}

function createContext(
  bind: TlsBind,
  {source, certificates}: Choice,
  {alpn, authorities, ticketKeys}: {readonly alpn: string | null; readonly authorities: AuthoritiesByPath; readonly ticketKeys: Buffer},
): ClientContext {
  const verify = source.verify ?? bind.verify;
  const options: TlsOptions = {
    cert: certificates.map(({chainPem}) => chainPem),
    key: certificates.map(({keyPem}) => keyPem),
    ...versionOptions(source.versions ?? bind),
    ...cipherOptions(bind),
    ...(alpn === null ? {} : {ALPNProtocols: [alpn]}),
    ...verifyOptions(bind, source, authorities),
    ticketKeys,
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION | (bind.tickets ? 0 : constants.SSL_OP_NO_TICKET),
    sessionIdContext: sessionContext(bind, source),
    requestCert: verify !== 'none',
    // What is wrong with one that is optional is judged when the handshake is over.
    rejectUnauthorized: verify === 'required',
  };
  return {handshaker: createHandshaker(options), verify};
}

/** An empty list keeps Node from loading the authorities that it brings. */
function verifyOptions(bind: TlsBind, source: CertificateSource, authorities: AuthoritiesByPath): TlsOptions {
  if ((source.verify ?? bind.verify) === 'none') return {ca: []};
  const trusted = authorities.get(source.caFile ?? bind.caFile ?? '');
  const revoked = bind.crlFile === null ? undefined : authorities.get(bind.crlFile);
  const crl = [...(trusted?.revocationLists ?? []), ...(revoked?.revocationLists ?? [])];
  return {ca: [...(trusted?.certificates ?? [])], ...(crl.length === 0 ? {} : {crl})};
}

/** A session goes on only where clients are verified alike: it would otherwise be a way around a certificate. */
function sessionContext(bind: TlsBind, source: CertificateSource): string {
  const verified = JSON.stringify([source.verify ?? bind.verify, source.caFile ?? bind.caFile, bind.crlFile]);
  return createHash('sha256').update(verified).digest('hex').slice(0, 32);
}
