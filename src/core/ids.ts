import {createHash, randomBytes} from 'node:crypto';
import {CodedError} from './errors.ts';

declare const brand: unique symbol;
type Branded<Base, Name extends string> = Base & {readonly [brand]: Name};

/** The name of an app, as the configuration has it: letters, digits, `- _ . :`, at most 64 bytes. */
export type AppName = Branded<string, 'AppName'>;
/**
 * Tells one incarnation of an app from all others, also on other workers and before it has a fencing token; the layer of
 * files that it writes has the same name. Begins with the time, so that `parseInt()` orders them.
 */
export type InstanceName = Branded<string, 'InstanceName'>;
/** One incarnation of an app on a worker: `<app>.<instance name>`; never used twice. */
export type InstanceId = Branded<string, 'InstanceId'>;
/** The ever-growing number that proves which owner of an app is newest. */
export type FencingToken = Branded<number, 'FencingToken'>;
/** The number of a committed checkpoint of an app; 1 is the first. */
export type Generation = Branded<number, 'Generation'>;
/** Four hexadecimal digits that tell this gateway's kernel objects from another's. */
export type GatewayIdentity = Branded<string, 'GatewayIdentity'>;

const namePattern = /^[A-Za-z0-9_.:-]{1,64}$/;

/** @throws CodedError ERR_BAD_NAME */
export function appName(text: string): AppName {
  if (!namePattern.test(text) || text === '.' || text === '..') {
    throw new CodedError('ERR_BAD_NAME', `Cannot use "${text}" as the name of an app: letters, digits and - _ . : are allowed, at most 64`, {
      source: 'client',
    });
  }
  return text as AppName;
}

export function newInstanceName(nowMs: number): InstanceName {
  return `${Math.trunc(nowMs)}-${randomBytes(4).toString('hex')}` as InstanceName;
}

export function instanceId(app: AppName, name: InstanceName): InstanceId {
  return `${app}.${name}` as InstanceId;
}

function positiveInteger(value: number, what: string): number {
  if (!Number.isSafeInteger(value) || value < 1) {
    throw new CodedError('ERR_BAD_NUMBER', `Cannot use ${value} as a ${what}: a positive integer is needed`, {source: 'bug'});
  }
  return value;
}

/** @throws CodedError ERR_BAD_NUMBER */
export function fencingToken(value: number): FencingToken {
  return positiveInteger(value, 'fencing token') as FencingToken;
}

/** @throws CodedError ERR_BAD_NUMBER */
export function generation(value: number): Generation {
  return positiveInteger(value, 'generation') as Generation;
}

/** The identity follows from the state directory, so that a restarted gateway finds what it left. */
export function gatewayIdentity(stateDir: string): GatewayIdentity {
  return createHash('sha256').update(stateDir).digest('hex').slice(0, 4) as GatewayIdentity;
}
