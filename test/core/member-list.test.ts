import test from 'ava';
import {type Member, MemberList} from '../../src/core/member-list.ts';
import {fc} from '../helpers/properties.ts';

test('a list has what was added and not deleted, as a Set has', (t) => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.boolean(), fc.nat(9)), {maxLength: 60}), (steps) => {
      const members = Array.from({length: 10}, (): Member => ({place: -1}));
      const [list, model] = [new MemberList(), new Set<Member>()];
      for (const [adds, at] of steps) {
        const member = members[at] as Member;
        if (adds && !model.has(member)) {
          list.add(member);
          model.add(member);
        } else if (!adds) {
          list.delete(member);
          model.delete(member);
        }
        t.is(list.size, model.size);
      }
      const found = [...list];
      t.is(new Set(found).size, found.length);
      t.true(found.every((member) => model.has(member)));
    }),
  );
});

test('members that are deleted while the list is gone through do not hide others', (t) => {
  const list = new MemberList<Member & {readonly name: string}>();
  const names = ['a', 'b', 'c', 'd', 'e'];
  for (const name of names) list.add({name, place: -1});
  const seen: string[] = [];
  for (const member of list) {
    seen.push(member.name);
    list.delete(member);
  }
  t.deepEqual(seen, names);
  t.is(list.size, 0);
});
