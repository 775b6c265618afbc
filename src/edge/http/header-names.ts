/** `option http-restrict-req-hdr-names`: names of fields that some servers cannot tell from others, as CGI has `_` for all that is no letter or digit. */
import type {ProxyBase} from '../../config/proxy-value.ts';
import type {RequestHead} from './message.ts';

const plainName = /^[A-Za-z0-9-]*$/;

/** Removes what the proxy does not let pass. @returns false when the request is to be refused */
export function restrictNames({restrictedNames}: Pick<ProxyBase, 'restrictedNames'>, request: Pick<RequestHead, 'headers'>): boolean {
  if (restrictedNames === 'preserve') return true;
  const plain = request.headers.filter(([name]) => plainName.test(name));
  if (plain.length === request.headers.length) return true;
  if (restrictedNames === 'reject') return false;
  request.headers = plain;
  return true;
}
