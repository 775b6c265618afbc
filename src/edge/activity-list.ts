/** A list in the order of the last activity, whose links are in its members: moving one to the end costs nothing worth mentioning. */

export interface Linked<Member> {
  previous: Member | null;
  next: Member | null;
}

export class ActivityList<Member extends Linked<Member>> {
  #first: Member | null = null;
  #last: Member | null = null;

  /** The one that was silent for longest. */
  get first(): Member | null {
    return this.#first;
  }

  /** Of one that is not in the list. */
  append(member: Member): void {
    member.previous = this.#last;
    member.next = null;
    if (this.#last === null) this.#first = member;
    else this.#last.next = member;
    this.#last = member;
  }

  /** Of one that is in the list. */
  remove(member: Member): void {
    const {previous, next} = member;
    if (previous === null) this.#first = next;
    else previous.next = next;
    if (next === null) this.#last = previous;
    else next.previous = previous;
    member.previous = null;
    member.next = null;
  }

  moveToEnd(member: Member): void {
    if (this.#last === member) return;
    this.remove(member);
    this.append(member);
  }
}
