/** Addresses, ports and TLS of the client's connection: HAProxy's manual, sections 7.3.3 and 7.3.4. */
import {X509Certificate} from 'node:crypto';
import type {SampleCall} from '../../config/sample.ts';
import type {ConnectionFacts, SampleContext, SampleValue, TlsFacts} from './context.ts';
import {type FetchBuilder, integerArgument, plain, textArgument} from './fetch.ts';
import {addressValue, boolValue, intValue, textValue} from './value.ts';

function ofTls(one: (tls: TlsFacts) => SampleValue): FetchBuilder {
  return plain((context) => (context.connection.tls === null ? null : one(context.connection.tls)));
}

function textOrNull(text: string | null | undefined): SampleValue {
  return text === undefined || text === null ? null : textValue(text);
}

/** A port of 0 is a unix socket's, which has none. */
function portValue(port: number): SampleValue {
  return port === 0 ? null : intValue(port);
}

/** `ssl_c_s_dn(CN)`: an entry of a name in the form `/C=FR/CN=name`, of those alike the first, or the one of an occurrence. */
function distinguishedName(pick: (client: NonNullable<TlsFacts['client']>) => string): FetchBuilder {
  return (call: SampleCall) => {
    const entry = textArgument(call, 0);
    const occurrence = integerArgument(call, 1, 1);
    return {
      one(context: SampleContext) {
        const client = context.connection.tls?.client ?? null;
        if (client === null) return null;
        const name = pick(client);
        if (entry === '') return textValue(name);
        // A slash inside of a value is not followed by a type and an equals sign.
        const values = [...name.matchAll(/\/([A-Za-z0-9.]+)=((?:[^/]|\/(?![A-Za-z0-9.]+=))*)/g)].filter(([, type]) => type === entry);
        return textOrNull(values.at(occurrence > 0 ? occurrence - 1 : occurrence)?.[2]);
      },
    };
  };
}

/** `261201024500Z`: of whatever year, without the century. */
function certificateTime(date: Date): string {
  return `${date
    .toISOString()
    .replace(/\.\d+Z$/, '')
    .replaceAll(/[-T:]/g, '')
    .slice(2)}Z`;
}

function ofReceived(one: (ends: Pick<ConnectionFacts, 'source' | 'destination'>) => SampleValue): FetchBuilder {
  return plain(({connection}) => one(connection.received ?? connection));
}

const zeroWithTls = ofTls(() => intValue(0));

export const connectionFetches: Readonly<Record<string, FetchBuilder>> = {
  src: plain(({connection}) => addressValue(connection.source.host)),
  src_port: plain(({connection}) => portValue(connection.source.port)),
  dst: plain(({connection}) => addressValue(connection.destination.host)),
  dst_port: plain(({connection}) => portValue(connection.destination.port)),
  fc_src: ofReceived(({source}) => addressValue(source.host)),
  fc_src_port: ofReceived(({source}) => portValue(source.port)),
  fc_dst: ofReceived(({destination}) => addressValue(destination.host)),
  fc_dst_port: ofReceived(({destination}) => portValue(destination.port)),
  fc_pp_authority: plain(({connection}) => textOrNull(connection.header?.authority)),
  fc_pp_unique_id: plain(({connection}) => {
    const id = connection.header?.uniqueId ?? null;
    return id === null ? null : {type: 'bin', value: id};
  }),
  fc_rcvd_proxy: plain((context) => boolValue(context.connection.receivedProxy)),
  fc_http_major: plain((context) => (context.request === null ? null : intValue(Number(context.request.version.charAt(0))))),
  fc_err: plain(({connection}) => intValue(connection.failure?.code ?? 0)),
  fc_err_str: plain(({connection}) => textValue(connection.failure?.text ?? 'Success')),
  ssl_fc: plain((context) => boolValue(context.connection.tls !== null)),
  ssl_fc_sni: ofTls((tls) => textOrNull(tls.sni)),
  ssl_fc_has_sni: plain((context) => boolValue((context.connection.tls?.sni ?? null) !== null)),
  ssl_fc_alpn: ofTls((tls) => textOrNull(tls.alpn)),
  ssl_fc_protocol: ofTls((tls) => textValue(tls.version)),
  ssl_fc_cipher: ofTls((tls) => textValue(tls.cipher)),
  ssl_fc_is_resumed: plain((context) => boolValue(context.connection.tls?.resumed === true)),
  ssl_fc_has_crt: plain((context) => boolValue((context.connection.tls?.client ?? null) !== null)),
  ssl_fc_err: zeroWithTls,
  ssl_c_used: plain((context) => boolValue((context.connection.tls?.client ?? null) !== null)),
  ssl_c_verify: ofTls((tls) => intValue(tls.client?.verified ?? 0)),
  ssl_c_err: ofTls((tls) => intValue(tls.client?.verified ?? 0)),
  ssl_c_ca_err: zeroWithTls,
  ssl_c_s_dn: distinguishedName((client) => client.subject),
  ssl_c_i_dn: distinguishedName((client) => client.issuer),
  ssl_c_notbefore: ofTls(({client}) => (client === null ? null : textValue(certificateTime(new X509Certificate(client.der).validFromDate)))),
  ssl_c_notafter: ofTls(({client}) => (client === null ? null : textValue(certificateTime(new X509Certificate(client.der).validToDate)))),
  ssl_c_serial: ofTls(({client}) => (client === null ? null : {type: 'bin', value: Buffer.from(new X509Certificate(client.der).serialNumber, 'hex')})),
  ssl_c_sha1: ofTls((tls) => (tls.client === null ? null : {type: 'bin', value: Buffer.from(tls.client.fingerprintSha1.replaceAll(':', ''), 'hex')})),
  ssl_c_der: ofTls((tls) => (tls.client === null ? null : {type: 'bin', value: tls.client.der})),
};
