/**
 * Messages of CRIU's RPC (images/rpc.proto of CRIU, only the fields that are used here) and of the one image file that
 * is looked into. Numbers are CRIU's; proto2, so an absent field is not a default one.
 */
import protobuf from 'protobufjs';
import {CodedError} from '../core/errors.ts';

const field = (type: string, id: number, rule?: 'required' | 'repeated'): protobuf.IField => ({type, id, ...(rule === undefined ? {} : {rule})});

/** Without an edition a message would be one of proto3, whose zeros are not sent; here a zero means something. */
const message = (fields: Record<string, protobuf.IField>): protobuf.IType => ({edition: 'proto2', fields});

const schema = protobuf.Root.fromJSON({
  nested: {
    InheritFd: message({key: field('string', 1, 'required'), fd: field('int32', 2, 'required')}),
    Options: message({
      imagesDirFd: field('int32', 1, 'required'),
      pid: field('int32', 2),
      extUnixSockets: field('bool', 4),
      tcpEstablished: field('bool', 5),
      fileLocks: field('bool', 8),
      logLevel: field('int32', 9),
      logFile: field('string', 10),
      notifyScripts: field('bool', 12),
      root: field('string', 13),
      workDirFd: field('int32', 17),
      linkRemap: field('bool', 18),
      inheritFd: field('InheritFd', 27, 'repeated'),
      manageCgroupsMode: field('int32', 34),
      ghostLimit: field('uint32', 35),
      external: field('string', 37, 'repeated'),
      timeout: field('uint32', 45),
      lazyPages: field('bool', 48),
      networkLock: field('int32', 64),
      imagesDir: field('string', 68),
    }),
    Request: message({type: field('int32', 1, 'required'), options: field('Options', 2), notifySuccess: field('bool', 3)}),
    RestoreResult: message({pid: field('int32', 1, 'required')}),
    Notification: message({script: field('string', 1), pid: field('int32', 2)}),
    Response: message({
      type: field('int32', 1, 'required'),
      success: field('bool', 2, 'required'),
      restore: field('RestoreResult', 4),
      notify: field('Notification', 5),
      errorNumber: field('int32', 7),
      errorMessage: field('string', 9),
    }),
    RegularFile: message({flags: field('uint32', 2), name: field('string', 6), external: field('bool', 9), mode: field('uint32', 10)}),
    FileEntry: message({type: field('int32', 1, 'required'), regular: field('RegularFile', 3)}),
  },
});

const requestType = schema.lookupType('Request');
const responseType = schema.lookupType('Response');
const fileEntryType = schema.lookupType('FileEntry');

/** Values of `criu_req_type`. */
export const rpc = {dump: 1, restore: 2, check: 3, notify: 6} as const;
export const manageCgroups = {ignore: 0} as const;
export const networkLock = {skip: 3} as const;

export interface CriuOptions {
  readonly imagesDirFd: number;
  readonly imagesDir?: string;
  readonly pid?: number;
  readonly extUnixSockets?: boolean;
  readonly tcpEstablished?: boolean;
  readonly fileLocks?: boolean;
  readonly logLevel?: number;
  readonly logFile?: string;
  readonly notifyScripts?: boolean;
  readonly root?: string;
  readonly workDirFd?: number;
  readonly linkRemap?: boolean;
  readonly inheritFd?: readonly {readonly key: string; readonly fd: number}[];
  readonly manageCgroupsMode?: number;
  readonly ghostLimit?: number;
  readonly external?: readonly string[];
  readonly timeout?: number;
  readonly lazyPages?: boolean;
  readonly networkLock?: number;
}

export interface CriuRequest {
  readonly type: number;
  readonly options?: CriuOptions;
  readonly notifySuccess?: boolean;
}

export interface CriuResponse {
  readonly type: number;
  readonly success: boolean;
  /** Of the app's first process: when it is restored, and in notifications before that. */
  readonly pid: number | undefined;
  /** The name of a notification: `post-dump` and others. */
  readonly script: string | undefined;
  readonly errorMessage: string | undefined;
}

export function encodeRequest(request: CriuRequest): Uint8Array {
  return requestType.encode(requestType.fromObject(request)).finish();
}

/** @throws CodedError ERR_CRIU_PROTOCOL */
export function decodeResponse(data: Uint8Array): CriuResponse {
  try {
    const message: Record<string, unknown> = responseType.toObject(responseType.decode(data));
    const {type, success, restore, notify, errorMessage} = message;
    return {
      type: typeof type === 'number' ? type : -1,
      success: success === true,
      pid: numberIn(restore, 'pid') ?? numberIn(notify, 'pid'),
      script: stringIn(notify, 'script'),
      errorMessage: typeof errorMessage === 'string' ? errorMessage : undefined,
    };
  } catch (cause) {
    throw new CodedError('ERR_CRIU_PROTOCOL', `Cannot read an answer of CRIU of ${data.length} bytes`, {source: 'host', cause});
  }
}

const fileTypeMask = 0o170000;
const fifoType = 0o010000;
/** Two magic numbers, then each entry with its length before it. */
const imageHeaderBytes = 8;

/** A file of the host that an app has open. At restore it must be given as an open descriptor. */
export interface ExternalFile {
  readonly name: string;
  readonly kind: 'fifo' | 'device';
}

/** The external files in a `files.img`. @throws CodedError ERR_CRIU_IMAGE */
export function externalFilesIn(image: Buffer): ExternalFile[] {
  const found = new Map<string, ExternalFile>();
  try {
    for (let at = imageHeaderBytes; at < image.length; ) {
      const end = at + 4 + image.readUInt32LE(at);
      const entry: Record<string, unknown> = fileEntryType.toObject(fileEntryType.decode(image.subarray(at + 4, end)));
      const {regular} = entry;
      if (typeof regular === 'object' && regular !== null && 'external' in regular && regular.external === true) {
        const name = stringIn(regular, 'name');
        if (name !== undefined) found.set(name, {name, kind: ((numberIn(regular, 'mode') ?? 0) & fileTypeMask) === fifoType ? 'fifo' : 'device'});
      }
      at = end;
    }
  } catch (cause) {
    throw new CodedError('ERR_CRIU_IMAGE', 'Cannot read files.img of a checkpoint', {source: 'host', cause});
  }
  return [...found.values()];
}

function numberIn(value: unknown, key: string): number | undefined {
  const found = valueIn(value, key);
  return typeof found === 'number' ? found : undefined;
}

function stringIn(value: unknown, key: string): string | undefined {
  const found = valueIn(value, key);
  return typeof found === 'string' ? found : undefined;
}

function valueIn(value: unknown, key: string): unknown {
  if (typeof value !== 'object' || value === null) return undefined;
  return Object.entries(value).find(([name]) => name === key)?.[1] as unknown;
}
