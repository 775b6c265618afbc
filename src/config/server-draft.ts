/** What the options of `server` and `default-server` say, before it is known what they mean together. */
import type {AgentCheck, CheckSchedule, PassiveChecks} from './health.ts';
import type {Position} from './position.ts';
import type {ServerConfig} from './proxy-value.ts';
import {emptyTls, type TlsDraft} from './tls-options.ts';

type Mutable<Type> = {-readonly [Key in keyof Type]: Type[Key]};

export type PassiveDraft = Partial<Mutable<Omit<PassiveChecks, 'layer'>>> & {
  observe?: {readonly what: PassiveChecks['layer'] | 'none'; readonly position: Position};
};

/** What the options say that `default-server` and `server` lines can say; undefined: nothing. */
export type ServerDraft = Partial<
  Mutable<
    Pick<
      ServerConfig,
      | 'maxqueue'
      | 'maxconn'
      | 'minconn'
      | 'weight'
      | 'backup'
      | 'disabled'
      | 'cookie'
      | 'track'
      | 'slowStartMs'
      | 'onMarkedDown'
      | 'onMarkedUp'
      | 'sendProxy'
      | 'proxyV2Options'
      | 'sni'
      | 'proto'
      | 'source'
      | 'resolvers'
      | 'initialAddress'
      | 'keepsAddress'
      | 'resolvePrefer'
      | 'redirectPrefix'
      | 'nonStick'
    >
  >
> & {
  check?: boolean;
  /** What its checks speak: HTTP/1, or what the steps of a `tcp-check` say. */
  checkProto?: 'h1' | 'none';
  readonly schedule: Partial<Mutable<CheckSchedule>>;
  readonly passive: PassiveDraft;
  agentCheck?: boolean;
  readonly agent: Partial<Mutable<AgentCheck>>;
  ssl?: boolean;
  readonly tls: TlsDraft;
  certificate?: string;
  verifyHost?: string | null;
  /** `init-addr none`: the name is not looked up when the configuration is checked. */
  lookUp?: boolean;
};

export function emptyServer(): ServerDraft {
  return {schedule: {}, passive: {}, agent: {}, tls: emptyTls()};
}
