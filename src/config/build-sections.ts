/** Userlists, resolvers and pages of `http-errors`. */
import type {Diagnostic} from './diagnostic.ts';
import type {Userlist} from './proxy-value.ts';
import {bareResolvers, type ResolversConfig} from './resolvers.ts';
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

export function buildResolvers(section: Section): ResolversConfig {
  const bare = bareResolvers(section);
  return {
    ...bare,
    nameservers: all(section, 'nameserver').map(({value}) => value),
    parseResolvConf: own(section, 'parse-resolv-conf') !== undefined,
    resolveRetries: own(section, 'resolve_retries')?.value ?? bare.resolveRetries,
    timeouts: {
      resolveMs: own(section, 'timeout resolve')?.value ?? bare.timeouts.resolveMs,
      retryMs: own(section, 'timeout retry')?.value ?? bare.timeouts.retryMs,
    },
    hold: {...bare.hold, ...Object.fromEntries(all(section, 'hold').map(({value}) => [value.kind, value.ms]))},
    acceptedPayloadBytes: own(section, 'accepted_payload_size')?.value ?? bare.acceptedPayloadBytes,
  };
}

/** The files of a section `http-errors`, by status. */
export function errorPagesOf(section: Section): ReadonlyMap<number, string> {
  return new Map(all(section, 'errorfile').map(({value}) => [value.status, value.path]));
}
