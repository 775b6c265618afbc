/** The keywords of `userlist` and `resolvers`. */
import {keyword, theirList, theirs} from './keyword.ts';
import {hold, listGroup, listUser, nameserver} from './section-shapes.ts';
import {duration, flagLine, integer} from './shapes.ts';

const inList = {...theirList, sections: ['userlist']} as const;
const inResolvers = {...theirs, sections: ['resolvers']} as const;

export const sectionKeywords = {
  'userlist user': keyword({
    ...inList,
    written: 'user',
    shape: listUser,
    description: 'Somebody, with a hash of crypt(3) or a plain password, for `http_auth()`.',
  }),
  'userlist group': keyword({...inList, written: 'group', shape: listGroup, description: 'A group, for `http_auth_group()`.'}),
  nameserver: keyword({...inResolvers, repeated: 'allowed', shape: nameserver, description: 'Who is asked.'}),
  'parse-resolv-conf': keyword({...inResolvers, shape: flagLine(), description: 'Those in /etc/resolv.conf are asked too.'}),
  resolve_retries: keyword({...inResolvers, shape: integer({min: 1, max: 1000}), absent: '3', description: 'Questions until a look-up has failed.'}),
  accepted_payload_size: keyword({...inResolvers, shape: integer({min: 512, max: 65_535}), absent: '512', description: 'How long an answer may be.'}),
  'timeout resolve': keyword({...inResolvers, shape: duration(), absent: '1s', description: 'Between two look-ups of a name.'}),
  'timeout retry': keyword({...inResolvers, shape: duration(), absent: '1s', description: 'How long an answer is waited for.'}),
  hold: keyword({
    ...inResolvers,
    repeated: 'allowed',
    shape: hold,
    absent: '10s for `valid`, 0 for `obsolete`, else 30s',
    description: 'How long the last good answer counts.',
  }),
} as const;
