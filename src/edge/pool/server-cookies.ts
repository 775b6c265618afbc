/** What the persistence cookie of a server says: what its line says, or a value made of a secret key and where the server is (HAProxy's manual, `dynamic-cookie-key`). */
import type {BackendConfig, ServerConfig, Target} from '../../config/proxy-value.ts';
import {xxh64} from '../../core/xxh64.ts';
import {ipToBytes} from '../proxy-protocol/ip-bytes.ts';

interface Member {
  readonly config: ServerConfig;
  readonly target: Target;
}

interface Made {
  readonly key: string;
  readonly target: Target;
  readonly value: string | null;
}

export class ServerCookies {
  readonly #members: () => readonly Member[];
  /** Null: there are no dynamic values. Operators may change both. */
  key: string | null;
  isDynamic: boolean;
  readonly #made = new WeakMap<Member, Made>();

  /** @param members of the backend at that moment */
  constructor({cookie, dynamicCookieKey}: BackendConfig, members: () => readonly Member[]) {
    this.#members = members;
    this.key = dynamicCookieKey;
    this.isDynamic = cookie?.dynamic === true;
  }

  /** Null: the server has none. */
  of(member: Member): string | null {
    const {key} = this;
    if (member.config.cookie !== null || key === null || !this.isDynamic) return member.config.cookie;
    const known = this.#made.get(member);
    if (known?.key === key && known.target === member.target) return known.value;
    const value = dynamicValue(key, member.target);
    this.#made.set(member, {key, target: member.target, value});
    return value;
  }

  ofServer(server: ServerConfig): string | null {
    const member = this.#members().find(({config}) => config === server);
    return member === undefined ? server.cookie : this.of(member);
  }

  /** In the order of the configuration. */
  having(value: string): readonly ServerConfig[] {
    return this.#members()
      .filter((member) => this.of(member) === value)
      .map(({config}) => config);
  }
}

/** Of the key, the bytes of the address and the port in four bytes. Of an app, and of a host that the system looks up, the name stands for the address, which may change. */
function dynamicValue(key: string, target: Target): string | null {
  if (target.kind === 'unix') return null;
  const place = target.kind === 'app' ? Buffer.from(target.app) : (ipToBytes(target.host) ?? Buffer.from(target.host));
  const port = Buffer.alloc(4);
  port.writeUInt32BE(target.port);
  return xxh64(Buffer.concat([Buffer.from(key), place, port]))
    .toString(16)
    .padStart(16, '0');
}
