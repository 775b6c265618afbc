/** Numbers of the Domain Name System (RFC 1035, RFC 6891 and IANA's registry), as far as they are used here. */

export const recordType = {
  A: 1,
  NS: 2,
  CNAME: 5,
  SOA: 6,
  MX: 15,
  TXT: 16,
  AAAA: 28,
  SRV: 33,
  OPT: 41,
  SVCB: 64,
  HTTPS: 65,
  /** 249 to 254 are no data of a zone: keys, signatures of messages, transfers. */
  firstMeta: 249,
  lastMeta: 254,
  ANY: 255,
} as const;

/** For people and for `dns_qtype`; a type that is missing here is `TYPE` and its number (RFC 3597). */
const typeNames: ReadonlyMap<number, string> = new Map([
  [1, 'A'],
  [2, 'NS'],
  [5, 'CNAME'],
  [6, 'SOA'],
  [12, 'PTR'],
  [13, 'HINFO'],
  [15, 'MX'],
  [16, 'TXT'],
  [28, 'AAAA'],
  [33, 'SRV'],
  [35, 'NAPTR'],
  [43, 'DS'],
  [46, 'RRSIG'],
  [47, 'NSEC'],
  [48, 'DNSKEY'],
  [52, 'TLSA'],
  [64, 'SVCB'],
  [65, 'HTTPS'],
  [251, 'IXFR'],
  [252, 'AXFR'],
  [255, 'ANY'],
  [257, 'CAA'],
]);

export function typeName(type: number): string {
  return typeNames.get(type) ?? `TYPE${type}`;
}

export const classIn = 1;

/** Of the second 16 bits of a message. */
export const flag = {
  response: 0x8000,
  authoritative: 0x0400,
  truncated: 0x0200,
  recursionDesired: 0x0100,
  recursionAvailable: 0x0080,
  checkingDisabled: 0x0010,
} as const;

export const rcode = {noError: 0, formErr: 1, servFail: 2, nxDomain: 3, notImp: 4, refused: 5, badVers: 16} as const;
export type Rcode = (typeof rcode)[keyof typeof rcode];

export const headerBytes = 12;
/** A root owner, type, size, flags and no options. */
export const optBytes = 11;
/** Without EDNS0 (RFC 1035, 4.2.1). */
export const plainUdpBytes = 512;
/** What goes over any path without fragments: what is offered to others, and the most that is sent (RFC 9715). */
export const ednsUdpBytes = 1232;
export const maxMessageBytes = 65_535;
export const maxNameBytes = 255;
export const maxLabelBytes = 63;
