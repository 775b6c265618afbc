/** Userlists, resolvers and pages of `http-errors`. */
import type {Diagnostic} from './diagnostic.ts';
import type {Userlist} from './proxy-value.ts';
import type {HoldStatus, ResolversConfig} from './resolvers-value.ts';
import {all, own, type Section} from './section.ts';
import {didYouMean} from './suggestion.ts';

type Report = (diagnostic: Diagnostic) => void;

export function buildUserlist(section: Section, report: Report): Userlist {
  const groups = all(section, 'userlist group');
  const users = all(section, 'userlist user');
  const groupNames = groups.map(({value}) => value.name);
  const userNames = users.map(({value}) => value.name);
  for (const {value, position} of users) {
    for (const group of value.groups.filter((name) => !groupNames.includes(name))) {
      report({level: 'alert', position, word: group, message: `no such group '${group}' specified in user '${value.name}'${didYouMean(group, groupNames)}`});
    }
  }
  for (const {value, position} of groups) {
    for (const user of value.users.filter((name) => !userNames.includes(name))) {
      report({level: 'alert', position, word: user, message: `no such user '${user}' specified in group '${value.name}'${didYouMean(user, userNames)}`});
    }
  }
  return {
    name: section.name,
    groups: groups.map(({value}) => value),
    users: users.map(({value: {name, password, groups: of}}) => ({name, password, groups: of})),
  };
}

const defaultHoldMs: Readonly<Record<HoldStatus, number>> = {valid: 10_000, nx: 30_000, refused: 30_000, timeout: 30_000, other: 30_000, obsolete: 0};

export function buildResolvers(section: Section): ResolversConfig {
  return {
    name: section.name,
    position: section.position,
    nameservers: all(section, 'nameserver').map(({value}) => value),
    systemNameservers: own(section, 'parse-resolv-conf') !== undefined,
    retries: own(section, 'resolve_retries')?.value ?? 3,
    retryTimeoutMs: own(section, 'timeout retry')?.value ?? 1000,
    resolveTimeoutMs: own(section, 'timeout resolve')?.value ?? 1000,
    holdMs: {...defaultHoldMs, ...Object.fromEntries(all(section, 'hold').map(({value}) => [value.status, value.ms]))},
    payloadBytes: own(section, 'accepted_payload_size')?.value ?? 512,
  };
}

/** The files of a section `http-errors`, by status. */
export function errorPagesOf(section: Section): ReadonlyMap<number, string> {
  return new Map(all(section, 'errorfile').map(({value}) => [value.status, value.path]));
}
