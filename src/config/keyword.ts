/** What an entry of the keyword table is. */
import type {Shape} from './shapes.ts';

export type SectionKind = 'global' | 'defaults' | 'app' | 'frontend' | 'backend' | 'listen' | 'userlist' | 'resolvers' | 'http-errors' | 'peers' | 'cache';

export interface SectionSpec {
  readonly kind: SectionKind;
  readonly usage: string;
  readonly named: 'no' | 'optional' | 'yes';
  /** May take its defaults `from` a named section of defaults. */
  readonly from: boolean;
  readonly description: string;
  /** Nothing in it is read; the warning that says so. */
  readonly ignored?: string;
}

export interface Keyword<Value> {
  readonly sections: readonly SectionKind[];
  /** Whose keyword it is. HAProxy's mean what they mean there. */
  readonly origin: 'haproxy' | 'picogate';
  readonly shape: Shape<Value>;
  /** Twice in a section: an error, a warning (the last one counts), or allowed (more of the same, or the last one counts silently). */
  readonly repeated: 'error' | 'warning' | 'allowed';
  /** As it is written, where another section has a keyword of that name with another meaning. */
  readonly written?: string;
  /** What the line means with `no` before it; without this `no` is refused. */
  readonly negated?: Value;
  /** What holds when it is absent, as it would be written. */
  readonly absent?: string;
  /** One line for the reference. */
  readonly description: string;
}

/** Makes TypeScript infer the value from the shape. */
export function keyword<Value>(spec: Keyword<Value>): Keyword<Value> {
  return spec;
}

export const ours = {origin: 'picogate', repeated: 'error'} as const;
/** Twice is a slip: the last one counts, with a warning. */
export const theirs = {origin: 'haproxy', repeated: 'warning'} as const;
/** Several of them are several things, in order. */
export const theirList = {origin: 'haproxy', repeated: 'allowed'} as const;

export const proxies = ['frontend', 'backend', 'listen'] as const;
export const withProxies = ['defaults', ...proxies] as const;
export const withFrontend = ['defaults', 'frontend', 'listen'] as const;
export const withBackend = ['defaults', 'backend', 'listen'] as const;
