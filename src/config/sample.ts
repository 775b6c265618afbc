/** What the language says about traffic: sample expressions, conditions over them, texts with expressions in them. Data only; src/edge evaluates it. */
import type {Position} from './position.ts';

/** `hdr(host,-1)` is `{name: 'hdr', args: ['host', '-1']}`; quotes are resolved. */
export interface SampleCall {
  readonly name: string;
  readonly args: readonly string[];
}

/** `req.hdr(host),lower,field(1,:)`: a fetch, and the converters that it goes through. */
export interface SampleExpression {
  /** As it was written. */
  readonly text: string;
  readonly fetch: SampleCall;
  readonly converters: readonly SampleCall[];
}

export const matchMethods = ['found', 'bool', 'int', 'ip', 'bin', 'len', 'str', 'sub', 'reg', 'beg', 'end', 'dir', 'dom'] as const;
export type MatchMethod = (typeof matchMethods)[number];

/** What one `acl` line, or one anonymous `{ ... }`, tests: true when the sample matches one of the patterns. */
export interface AclTest {
  readonly expression: SampleExpression;
  readonly method: MatchMethod;
  readonly ignoreCase: boolean;
  /** As written, those of files (`-f`) included; for `int` and `len` either `5`, `5:9`, or with an operator `ge 5`. */
  readonly patterns: readonly string[];
  /** Where patterns came from, for people. */
  readonly files: readonly string[];
  readonly position: Position;
}

export interface ConditionTerm {
  readonly negated: boolean;
  /** As it was written: the name of an ACL, or `{ ... }`. */
  readonly text: string;
  /** True when one of them is: an ACL may be declared on several lines. Never empty. */
  readonly tests: readonly AclTest[];
}

/** `if a b or c` is `{unless: false, anyOf: [[a, b], [c]]}`. */
export interface Condition {
  readonly unless: boolean;
  readonly anyOf: readonly (readonly ConditionTerm[])[];
}

/** A part of a log format: `%ci`, `%[src]`, `%{+Q}r`, or text. */
export type FormatPart =
  | {readonly kind: 'text'; readonly text: string}
  | {readonly kind: 'sample'; readonly expression: SampleExpression; readonly options: FormatOptions}
  /** `ci`, `ST`, `trl`, ... */
  | {readonly kind: 'variable'; readonly name: string; readonly argument: string; readonly options: FormatOptions};

export interface FormatOptions {
  /** `+Q`: in quotes. */
  readonly quote: boolean;
  /** `+E`: quotes, backslashes and brackets are escaped. */
  readonly escape: boolean;
  /** `+X`: hexadecimal. */
  readonly hex: boolean;
  /** `+M`: a value that is missing is `-`; holds for `log-format`, not for headers. */
  readonly dashIfMissing: boolean;
}

export type Format = readonly FormatPart[];
