/** The type-length-value vectors of version 2 of the PROXY protocol (its section 2.2). */
import {bareProxyHeader, type ProxiedTls, type ProxyHeader} from './proxy-header.ts';

export const tlvTypes = {
  alpn: 0x01,
  authority: 0x02,
  crc32c: 0x03,
  uniqueId: 0x05,
  tls: 0x20,
  tlsVersion: 0x21,
  tlsCommonName: 0x22,
  tlsCipher: 0x23,
  tlsSignatureAlgorithm: 0x24,
  tlsKeyAlgorithm: 0x25,
  networkNamespace: 0x30,
} as const;

export const maxUniqueIdBytes = 128;

const overTls = 0x01;
const certificateOnConnection = 0x02;
const certificateInSession = 0x04;

export interface Tlv {
  readonly type: number;
  readonly value: Buffer;
}

/** Null when one is longer than what is there. */
export function splitTlvs(bytes: Buffer): readonly Tlv[] | null {
  const tlvs: Tlv[] = [];
  for (let at = 0; at < bytes.length; ) {
    if (bytes.length - at < 3) return null;
    const end = at + 3 + bytes.readUInt16BE(at + 1);
    if (end > bytes.length) return null;
    tlvs.push({type: bytes.readUInt8(at), value: bytes.subarray(at + 3, end)});
    at = end;
  }
  return tlvs;
}

export type TlvFields = Pick<ProxyHeader, 'alpn' | 'authority' | 'uniqueId' | 'tls' | 'networkNamespace'>;

/** What they say; types that we do not know are ignored. A text says what is wrong with one. */
export function readTlvs(tlvs: readonly Tlv[]): TlvFields | string {
  const {alpn, authority, uniqueId, tls, networkNamespace} = bareProxyHeader;
  let fields: TlvFields = {alpn, authority, uniqueId, tls, networkNamespace};
  for (const {type, value} of tlvs) {
    switch (type) {
      case tlvTypes.alpn:
        fields = {...fields, alpn: value.toString('latin1')};
        break;
      case tlvTypes.authority:
        fields = {...fields, authority: value.toString()};
        break;
      case tlvTypes.uniqueId:
        if (value.length > maxUniqueIdBytes) return `a unique ID of ${value.length} bytes`;
        fields = {...fields, uniqueId: Uint8Array.from(value)};
        break;
      case tlvTypes.tls: {
        const read = readTls(value);
        if (read === 'truncated') return 'a truncated part about TLS';
        fields = {...fields, tls: read};
        break;
      }
      case tlvTypes.networkNamespace:
        fields = {...fields, networkNamespace: value.toString()};
        break;
      default: // NOOP, and what others have agreed upon
    }
  }
  return fields;
}

/** Null: the client's connection was without TLS. */
function readTls(value: Buffer): ProxiedTls | null | 'truncated' {
  if (value.length < 5) return 'truncated';
  const parts = splitTlvs(value.subarray(5));
  if (parts === null) return 'truncated';
  const text = (type: number): string | null => parts.find((part) => part.type === type)?.value.toString() ?? null;
  const client = value.readUInt8(0);
  if (!(client & overTls)) return null;
  return {
    version: text(tlvTypes.tlsVersion),
    clientCertificate: client & certificateOnConnection ? 'connection' : client & certificateInSession ? 'session' : 'none',
    verifyResult: value.readUInt32BE(1),
    commonName: text(tlvTypes.tlsCommonName),
    cipher: text(tlvTypes.tlsCipher),
    signatureAlgorithm: text(tlvTypes.tlsSignatureAlgorithm),
    keyAlgorithm: text(tlvTypes.tlsKeyAlgorithm),
  };
}

export function formatTlv(type: number, value: Uint8Array | string): Buffer {
  const bytes = typeof value === 'string' ? Buffer.from(value) : value;
  const head = Buffer.from([type, bytes.length >> 8, bytes.length & 255]);
  return Buffer.concat([head, bytes]);
}

export function formatTlvs(fields: TlvFields): Buffer {
  const {alpn, authority, uniqueId, tls, networkNamespace} = fields;
  const parts: Buffer[] = [];
  if (alpn !== null) parts.push(formatTlv(tlvTypes.alpn, Buffer.from(alpn, 'latin1')));
  if (authority !== null) parts.push(formatTlv(tlvTypes.authority, authority));
  if (uniqueId !== null) parts.push(formatTlv(tlvTypes.uniqueId, uniqueId.subarray(0, maxUniqueIdBytes)));
  if (tls !== null) parts.push(formatTlv(tlvTypes.tls, formatTls(tls)));
  if (networkNamespace !== null) parts.push(formatTlv(tlvTypes.networkNamespace, networkNamespace));
  return Buffer.concat(parts);
}

function formatTls(tls: ProxiedTls): Buffer {
  const flags = {none: 0, connection: certificateOnConnection | certificateInSession, session: certificateInSession} as const;
  const head = Buffer.alloc(5);
  head.writeUInt8(overTls | flags[tls.clientCertificate], 0);
  head.writeUInt32BE(tls.verifyResult, 1);
  const parts = [
    [tlvTypes.tlsVersion, tls.version],
    [tlvTypes.tlsCommonName, tls.commonName],
    [tlvTypes.tlsCipher, tls.cipher],
    [tlvTypes.tlsSignatureAlgorithm, tls.signatureAlgorithm],
    [tlvTypes.tlsKeyAlgorithm, tls.keyAlgorithm],
  ] as const;
  return Buffer.concat([head, ...parts.map(([type, text]) => (text === null ? Buffer.alloc(0) : formatTlv(type, text)))]);
}
