import {isIPv4} from 'node:net';
import {CodedError} from '../core/errors.ts';

/** The addresses that the apps of one gateway have; `address` is the first one, e.g. 10.77.0.0. */
export interface Range {
  readonly address: string;
  readonly prefixLength: number;
}

/** An IPv4 address as a number, as in the packet. @throws CodedError ERR_BAD_ADDRESS */
export function ipv4ToNumber(text: string): number {
  if (!isIPv4(text)) throw new CodedError('ERR_BAD_ADDRESS', `Cannot use "${text}" as an IPv4 address`, {source: 'client'});
  return text.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
}

export function ipv4ToText(value: number): string {
  return `${value >>> 24}.${(value >>> 16) & 255}.${(value >>> 8) & 255}.${value & 255}`;
}

/** First and last address of a range. @throws CodedError ERR_BAD_RANGE when it is not /16 to /24 or has host bits */
export function rangeBounds(range: Range): {readonly first: number; readonly last: number} {
  const first = ipv4ToNumber(range.address);
  const size = 2 ** (32 - range.prefixLength);
  if (!Number.isInteger(range.prefixLength) || range.prefixLength < 16 || range.prefixLength > 24 || first % size !== 0) {
    throw new CodedError('ERR_BAD_RANGE', `Cannot use ${range.address}/${range.prefixLength} as the private range: a network from /16 to /24 is needed`, {
      source: 'client',
    });
  }
  return {first, last: first + size - 1};
}

/** `10.77.0.0/16` */
export function rangeText({address, prefixLength}: Range): string {
  return `${address}/${prefixLength}`;
}

/** The gateway's own address in its range, `.0.1`. */
export function gatewayAddress(range: Range): string {
  return ipv4ToText(rangeBounds(range).first + 1);
}

/** The fixed address of the app with this index; the first one is `.0.2`. @throws CodedError ERR_RANGE_FULL */
export function appAddress(range: Range, index: number): string {
  const {first, last} = rangeBounds(range);
  const address = first + 2 + index;
  if (!Number.isSafeInteger(index) || index < 0 || address >= last) {
    throw new CodedError('ERR_RANGE_FULL', `Cannot give app number ${index} an address: ${range.address}/${range.prefixLength} is full`, {source: 'client'});
  }
  return ipv4ToText(address);
}

/** The index of the app with this address; undefined when no app can have it. */
export function appIndex(range: Range, address: string): number | undefined {
  const {first, last} = rangeBounds(range);
  const number = ipv4ToNumber(address);
  return number >= first + 2 && number < last ? number - first - 2 : undefined;
}

/** True for an address that a single host may have, so that an answer to it makes sense. */
export function isUnicast(address: number): boolean {
  const octet = address >>> 24;
  return octet > 0 && octet < 224 && octet !== 127;
}
