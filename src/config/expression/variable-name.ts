/** The lives that variables of rules may have: HAProxy's manual, section 7.3.1, `set-var`. */
export const variableScopes = ['proc', 'sess', 'txn', 'req', 'res', 'check'] as const;
export type VariableScope = (typeof variableScopes)[number];

const pattern = new RegExp(`^(?:${variableScopes.join('|')})\\.[A-Za-z0-9_.]+$`);

/** Whether a text may be the name of a variable; some arguments are one, or else a text. */
export function isVariableName(text: string): boolean {
  return pattern.test(text);
}
