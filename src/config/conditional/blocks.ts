/** `.if`, `.elif`, `.else`, `.endif`: which lines count. */
import {ConfigError} from '../arguments.ts';
import type {Environment, Word} from '../lex.ts';
import type {Position} from '../position.ts';
import {evaluateCondition} from './predicates.ts';

interface Block {
  readonly position: Position;
  /** Lines count now. */
  active: boolean;
  /** One of the branches has counted, or the whole block stands where nothing counts. */
  done: boolean;
  sawElse: boolean;
}

const directives = ['.if', '.elif', '.else', '.endif'] as const;
type Directive = (typeof directives)[number];

const deepestBlock = 16;

export class ConditionalBlocks {
  readonly #open: Block[] = [];

  /** Whether the line at hand counts. */
  get active(): boolean {
    return this.#open.every(({active}) => active);
  }

  static isDirective(text: string): text is Directive {
    return directives.some((directive) => directive === text);
  }

  /** @throws ConfigError; a block whose condition means nothing does not count */
  read(first: Word, rest: readonly Word[], env: Environment): void {
    const directive = directives.find((known) => known === first.text);
    switch (directive) {
      case '.if':
        this.#begin(first, rest, env);
        return;
      case '.elif':
        this.#continue(first, rest, env);
        return;
      case '.else': {
        const block = this.#innermost(first);
        expectNothing(first, rest);
        block.active = !block.done;
        block.done = true;
        block.sawElse = true;
        return;
      }
      case '.endif':
        if (this.#open.length === 0) throw new ConfigError("lone '.endif' with no matching '.if'", first.position, first.text);
        this.#open.pop();
        expectNothing(first, rest);
        return;
      case undefined:
        return;
      default:
        directive satisfies never;
    }
  }

  #begin(first: Word, rest: readonly Word[], env: Environment): void {
    if (this.#open.length >= deepestBlock) throw new ConfigError(`too many nested '.if', at most ${deepestBlock} are possible`, first.position, first.text);
    const outerActive = this.active;
    const block: Block = {position: first.position, active: false, done: !outerActive, sawElse: false};
    this.#open.push(block);
    if (!outerActive) return;
    block.done = true; // Until the condition is known to be false: an error in it must not make `.else` count.
    block.active = evaluate(first, rest, env);
    block.done = block.active;
  }

  #continue(first: Word, rest: readonly Word[], env: Environment): void {
    const block = this.#innermost(first);
    block.active = false;
    if (block.done) return;
    block.done = true;
    block.active = evaluate(first, rest, env);
    block.done = block.active;
  }

  #innermost(first: Word): Block {
    const block = this.#open.at(-1);
    if (block === undefined) throw new ConfigError(`lone '${first.text}' with no matching '.if'`, first.position, first.text);
    if (block.sawElse) throw new ConfigError(`'${first.text}' after '.else'`, first.position, first.text);
    return block;
  }

  /** The blocks that nobody closed; from now on everything counts again. */
  close(): readonly Position[] {
    return this.#open.splice(0).map(({position}) => position);
  }
}

function expectNothing(first: Word, [extra]: readonly Word[]): void {
  if (extra !== undefined) throw new ConfigError(`unexpected argument '${extra.text}' after '${first.text}'`, extra.position, extra.text);
}

function evaluate(first: Word, rest: readonly Word[], env: Environment): boolean {
  const verdict = evaluateCondition(rest.map(({text}) => text).join(' '), env);
  if (!verdict.ok) throw new ConfigError(`'${first.text}': ${verdict.reason}`, rest[0]?.position ?? first.position, first.text);
  return verdict.value;
}
