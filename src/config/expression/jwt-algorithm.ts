/** The names of how a JSON Web Token is signed: RFC 7518, section 3.1. */

export const jwtAlgorithms = ['HS256', 'HS384', 'HS512', 'RS256', 'RS384', 'RS512', 'ES256', 'ES384', 'ES512', 'PS256', 'PS384', 'PS512', 'none'] as const;

export type JwtAlgorithm = (typeof jwtAlgorithms)[number];

/** Null: there is none of that name. */
export function jwtAlgorithm(name: string): JwtAlgorithm | null {
  return jwtAlgorithms.find((known) => known === name) ?? null;
}

/** RSASSA-PSS, which HAProxy 2.6 knows by name and cannot check. */
export function isPssAlgorithm(algorithm: JwtAlgorithm): boolean {
  return algorithm.startsWith('PS');
}

/** Whether a public key checks the signature, not a secret. */
export function needsPublicKey(algorithm: JwtAlgorithm): boolean {
  return /^[REP]S/.test(algorithm);
}
