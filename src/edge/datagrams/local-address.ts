/**
 * The address of this host to which a datagram was sent, and from which the answer has to leave: on a socket that is bound to all addresses
 * the kernel tells it in a control message (ip(7) IP_PKTINFO, ipv6(7) IPV6_PKTINFO), and takes it in one of the same form.
 */
import {controlWord} from './datagram-slots.ts';

/** `struct cmsghdr`: length (8 bytes), level, type. */
const headerWords = 4;
const dataWord = controlWord + headerWords;

export interface LocalAddressForm {
  readonly ipv6: boolean;
  /** CMSG_SPACE of the control message. */
  readonly controlBytes: number;
  /** What is remembered of it. */
  readonly words: number;
  /** Where the address stands, from the beginning of a message's addresses. */
  readonly addressByte: number;
}

/** `struct in_pktinfo`: interface, local address, address in the header. */
const ipv4Form: LocalAddressForm = {ipv6: false, controlBytes: 32, words: 1, addressByte: (dataWord + 1) * 4};
/** `struct in6_pktinfo`: address, interface. */
const ipv6Form: LocalAddressForm = {ipv6: true, controlBytes: 40, words: 5, addressByte: dataWord * 4};

export function localAddressForm(ipv6: boolean): LocalAddressForm {
  return ipv6 ? ipv6Form : ipv4Form;
}

/** `at` is the first word of the message's addresses in `source`. */
export function copyLocalAddress({ipv6, words}: LocalAddressForm, source: Uint32Array, at: number, target: Uint32Array, targetAt: number): void {
  const from = at + dataWord + (ipv6 ? 0 : 1);
  for (let word = 0; word < words; word++) target[targetAt + word] = source[from + word] ?? 0;
  if (!ipv6) return;
  const start = source[from] ?? 0;
  // No answer can leave from a multicast address (ff00::/8): with zeros the kernel chooses another.
  if ((start & 0xff) === 0xff) target.fill(0, targetAt, targetAt + words);
  // The interface may change with the route, except where the address says nothing without it (fe80::/10).
  else if ((start & 0xc0ff) !== 0x80fe) target[targetAt + 4] = 0;
}

/** The part of the control message that is the same for all. */
export function prepareControl({ipv6}: LocalAddressForm, target: Uint32Array, at: number): void {
  target.set(ipv6 ? [36, 0, 41, 50] : [28, 0, 0, 8], at + controlWord);
}

export function writeControl({ipv6, words}: LocalAddressForm, source: Uint32Array, sourceAt: number, target: Uint32Array, at: number): void {
  const to = at + dataWord + (ipv6 ? 0 : 1);
  for (let word = 0; word < words; word++) target[to + word] = source[sourceAt + word] ?? 0;
}
