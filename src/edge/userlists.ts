/** Users and their passwords, as `userlist` sections have them (HAProxy's manual, section 3.4). */
import {createHash, timingSafeEqual} from 'node:crypto';
import type {Userlist} from '../config/proxy-value.ts';
import {cryptPassword} from '../core/crypt.ts';
import type {Surroundings} from './samples/context.ts';

/** Passwords that were found right: a hash of crypt(3) is made to take milliseconds, and each request has one. */
const keptVerdicts = 1000;

type User = Userlist['users'][number];

interface KnownUser {
  readonly password: User['password'];
  readonly groups: readonly string[];
}

/** Groups name their users, and users their groups. */
function usersOf({groups, users}: Userlist): ReadonlyMap<string, KnownUser> {
  return new Map(
    users.map((user) => {
      const named = groups.filter((group) => group.users.includes(user.name)).map(({name}) => name);
      return [user.name, {password: user.password, groups: [...new Set([...user.groups, ...named])]}];
    }),
  );
}

export function authenticator(userlists: readonly Userlist[]): Surroundings['authenticate'] {
  const lists = new Map(userlists.map((list) => [list.name, usersOf(list)]));
  const right = new Set<string>();
  return (userlist, name, password) => {
    const user = lists.get(userlist)?.get(name);
    if (user === undefined || user.password === null) return null;
    const {text, kind} = user.password;
    if (kind === 'insecure') return sameText(password, text) ? user.groups : null;
    const key = createHash('sha256').update(`${text}\0${password}`).digest('base64');
    if (!right.has(key)) {
      if (!matchesCrypt(password, text)) return null;
      if (right.size >= keptVerdicts) right.clear();
      right.add(key);
    }
    return user.groups;
  };
}

/** In a time that does not tell how much of it is right. */
function sameText(one: string, other: string): boolean {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(one), digest(other));
}

function matchesCrypt(password: string, hashed: string): boolean {
  const made = cryptPassword(password, hashed);
  return made !== null && sameText(made, hashed);
}
