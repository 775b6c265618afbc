/** In a list of members that know their place in it; -1 in none. */
export interface Member {
  place: number;
}

/**
 * Members that come and go all the time, in no order; each is in one list at most. A Set is not for them: V8 makes its table anew after as many additions
 * as it has room for, the old table refers to the new one and keeps what was in it, and as soon as one of them has reached the old generation, so do all
 * that follow, with all that was in them. Of each request 2.5 KB stayed until the next full collection.
 */
export class MemberList<M extends Member> implements Iterable<M> {
  readonly #members: M[] = [];

  get size(): number {
    return this.#members.length;
  }

  /** Of one that is in no list. */
  add(member: M): void {
    member.place = this.#members.push(member) - 1;
  }

  /** Harmless for one that is in no list. */
  delete(member: M): void {
    const {place} = member;
    if (place < 0) return;
    member.place = -1;
    const last = this.#members.pop();
    if (last === undefined || last === member) return;
    this.#members[place] = last;
    last.place = place;
  }

  /** Those that are there now, whatever becomes of them meanwhile. */
  [Symbol.iterator](): Iterator<M> {
    return [...this.#members].values();
  }
}
