/** The form in which the tables of fetches and converters write one entry: `name(required[,optional...]) type`. */

/** What an expression yields. `any` is known only when it is evaluated. */
export type SampleType = 'str' | 'bin' | 'int' | 'bool' | 'ip' | 'method' | 'any';

/** `map` is the path of a file; the last five name something of the configuration, nothing at all means what the rule stands in. */
export const argumentKinds = ['string', 'int', 'ip', 'mask', 'regex', 'map', 'backend', 'frontend', 'server', 'table', 'userlist'] as const;
export type ArgumentKind = (typeof argumentKinds)[number];

export interface CallSpec {
  readonly name: string;
  readonly args: readonly ArgumentKind[];
  readonly required: number;
  readonly type: SampleType;
}

const entry = /^(?<name>[^\s()]+)(?:\((?<required>[^[\])]*)(?:\[(?<optional>[^\])]*)\])?\))? (?<type>\w+)$/;

/** Reads a table, one entry a line. @throws Error for a table that is not written well, which only its author can see */
export function signatureTable(text: string): ReadonlyMap<string, CallSpec> {
  const lines = text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
  return new Map(
    lines.map((line) => {
      const {name = '', required = '', optional = '', type = ''} = entry.exec(line)?.groups ?? {};
      const needed = argumentsOf(required);
      if (name === '' || !isSampleType(type)) throw new Error(`Cannot read signature "${line}"`);
      return [name, {name, args: [...needed, ...argumentsOf(optional)], required: needed.length, type}];
    }),
  );
}

function argumentsOf(text: string): readonly ArgumentKind[] {
  return text
    .split(',')
    .filter((word) => word !== '')
    .map((word) => {
      const kind = argumentKinds.find((known) => known === word);
      if (kind === undefined) throw new Error(`Cannot read signature: unknown argument "${word}"`);
      return kind;
    });
}

function isSampleType(text: string): text is SampleType {
  return ['str', 'bin', 'int', 'bool', 'ip', 'method', 'any'].includes(text);
}

/** As people read it: `hdr([string,int])`. */
export function usageOf({name, args, required}: CallSpec): string {
  if (args.length === 0) return name;
  const optional = args.slice(required);
  const inside = optional.length === 0 ? '' : `[${required > 0 ? ',' : ''}${optional.join(',')}]`;
  return `${name}(${args.slice(0, required).join(',')}${inside})`;
}
