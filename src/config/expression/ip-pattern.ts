/** Addresses and networks as patterns: `10.0.0.1`, `10.0.0.0/8`, `10/8`, `10.0.0.0/255.0.0.0`, `2001:db8::/32`. */
import {isIPv4, isIPv6} from 'node:net';

/** @returns the address or network in full, with the length of its prefix; null for what is neither */
export function parseIpPattern(text: string): string | null {
  const [host = '', mask, ...rest] = text.split('/');
  if (rest.length > 0) return null;
  if (isIPv6(host)) return mask === undefined || isPrefix(mask, 128) ? text : null;
  const address = inFull(host);
  if (!isIPv4(address)) return null;
  if (mask === undefined) return host === address ? address : null;
  const bits = isPrefix(mask, 32) ? Number(mask) : prefixLength(mask);
  return bits === null ? null : `${address}/${bits}`;
}

function isPrefix(text: string, longest: number): boolean {
  return /^\d{1,3}$/.test(text) && Number(text) <= longest;
}

/** `10` is `10.0.0.0`. */
function inFull(host: string): string {
  const parts = host.split('.');
  return parts.length < 4 && parts.every((part) => /^\d{1,3}$/.test(part)) ? [...parts, ...Array.from({length: 4 - parts.length}, () => '0')].join('.') : host;
}

/** Of a mask in dots whose ones come first; others are refused. */
function prefixLength(mask: string): number | null {
  if (!isIPv4(mask)) return null;
  const bits = mask
    .split('.')
    .map((part) => Number(part).toString(2).padStart(8, '0'))
    .join('');
  return /^1*0*$/.test(bits) ? (bits.indexOf('0') === -1 ? 32 : bits.indexOf('0')) : null;
}
