/** `option forwardfor` and `option originalto`: who the client is, and what it connected to, told to the server. */
import {BlockList, isIP} from 'node:net';
import type {AddressHeader} from '../../config/proxy-value.ts';
import type {Header} from './message.ts';

export interface AddressField {
  /** Adds the field, unless the configuration excepts this address. */
  add(headers: Header[], address: string): void;
}

export function compileAddressField(option: AddressHeader): AddressField {
  const name = option.header.toLowerCase();
  const excepted = new BlockList();
  if (option.except !== null) {
    const [network = '', bits] = option.except.split('/');
    const family = isIP(network) === 6 ? 'ipv6' : 'ipv4';
    excepted.addSubnet(network, Number(bits ?? (family === 'ipv6' ? 128 : 32)), family);
  }
  return {
    add(headers, address) {
      const version = isIP(address);
      if (version === 0) return;
      if (option.except !== null && excepted.check(address, version === 6 ? 'ipv6' : 'ipv4')) return;
      if (option.ifNone && headers.some((header) => header[0] === name)) return;
      headers.push([name, address]);
    },
  };
}

/** What the options of frontend and backend say together: the backend's name of the field wins, and each must allow it. */
export function addressFields(of: 'forwardFor' | 'originalTo', frontend: AddressHeader | null, backend: AddressHeader | null): AddressField | null {
  const option = backend ?? frontend;
  if (option === null) return null;
  const header = backend !== null && frontend !== null && isDefault(of, backend.header) ? frontend.header : option.header;
  return compileAddressField({header, except: option.except ?? frontend?.except ?? null, ifNone: option.ifNone || frontend?.ifNone === true});
}

function isDefault(of: 'forwardFor' | 'originalTo', header: string): boolean {
  return header.toLowerCase() === (of === 'forwardFor' ? 'x-forwarded-for' : 'x-original-to');
}
