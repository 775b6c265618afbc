/** What caused a wake; the pager predicts pages by it and the log tells it. */
export type Trigger =
  | {
      readonly kind: 'connection' | 'datagram' | 'packet';
      readonly protocol: 'tcp' | 'udp';
      /** The app's port. */
      readonly port: number;
      /** The client's address, without its port. */
      readonly source: string;
      /** The server name of a TLS ClientHello. */
      readonly sni?: string | undefined;
      /** The first request of an HTTP connection; the path as it was sent. */
      readonly request?: {readonly method: string; readonly path: string} | undefined;
      /** The name that a DNS question asks for. */
      readonly name?: string | undefined;
      /** Of the request, as W3C's Trace Context has it: the trace that the wake belongs to. */
      readonly traceparent?: string | undefined;
    }
  /** A timer of the app itself. */
  | {readonly kind: 'timer'}
  /** `wake-at`. */
  | {readonly kind: 'schedule'; readonly expression: string}
  | {readonly kind: 'operator' | 'start' | 'restart'}
  /** Its worker is gone; or nothing is to run there any more; or a checkpoint was made of it while it ran. */
  | {readonly kind: 'failover' | 'drain' | 'checkpoint'};

const plainKinds = ['timer', 'operator', 'start', 'restart', 'failover', 'drain', 'checkpoint'] as const;
const clientKinds = ['connection', 'datagram', 'packet'] as const;

/** What another worker says, as JSON. Of what cannot be read only that somebody wants the app is left. */
export function parseTrigger(text: string): Trigger {
  const value: unknown = parseOrNull(text);
  const fields = new Map<string, unknown>(typeof value === 'object' && value !== null ? Object.entries(value) : []);
  const plain = plainKinds.find((known) => known === fields.get('kind'));
  if (plain !== undefined) return {kind: plain};
  const kind = clientKinds.find((known) => known === fields.get('kind'));
  const [protocol, port, source, request] = ['protocol', 'port', 'source', 'request'].map((name) => fields.get(name));
  if (kind === undefined || (protocol !== 'tcp' && protocol !== 'udp') || typeof port !== 'number' || typeof source !== 'string') return {kind: 'operator'};
  const textOf = (name: string): string | undefined => {
    const found = fields.get(name);
    return typeof found === 'string' ? found : undefined;
  };
  return {kind, protocol, port, source, sni: textOf('sni'), name: textOf('name'), traceparent: textOf('traceparent'), request: requestOf(request)};
}

function requestOf(value: unknown): {readonly method: string; readonly path: string} | undefined {
  if (typeof value !== 'object' || value === null || !('method' in value) || !('path' in value)) return undefined;
  const {method, path} = value;
  return typeof method === 'string' && typeof path === 'string' ? {method, path} : undefined;
}

function parseOrNull(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null; // The caller says what that means.
  }
}

/** As people read it: `tcp/80 from 192.0.2.1`, `tcp/80 GET /wiki from 192.0.2.1`, `operator`. */
export function describeTrigger(trigger: Trigger): string {
  const text = triggerText(trigger);
  return 'source' in trigger ? `${text} from ${trigger.source}` : text;
}

/** Without the client. */
export function triggerText(trigger: Trigger): string {
  return triggerKeys(trigger)[0] ?? trigger.kind;
}

const maxWordLength = 48;
/** A segment that names one thing among many, not a kind of request: a number, or what looks like a hash or a UUID. */
const identifier = /^(?:\d+|[0-9a-f-]{16,})$/i;

/**
 * What wakes are alike, from the most specific to the most general: `tcp/443 sni www.example.com GET /wiki`, `tcp/443 sni www.example.com`,
 * `tcp/443`. Clients choose most of it, so each key is of bounded length and printable.
 */
export function triggerKeys(trigger: Trigger): readonly string[] {
  switch (trigger.kind) {
    case 'connection':
    case 'datagram':
    case 'packet': {
      const keys = [`${trigger.protocol}/${trigger.port}`];
      const add = (more: string): void => void keys.unshift(`${keys[0] ?? ''} ${more}`);
      if (trigger.sni !== undefined && trigger.sni !== '') add(`sni ${domain(trigger.sni)}`);
      if (trigger.name !== undefined && trigger.name !== '') add(`name ${domain(trigger.name)}`);
      if (trigger.request !== undefined) add(`${printable(trigger.request.method)} ${pathPrefix(trigger.request.path)}`);
      return keys;
    }
    case 'schedule':
      return [`schedule ${trigger.expression.split(' ').map(printable).join(' ')}`, 'schedule'];
    case 'timer':
    case 'operator':
    case 'start':
    case 'restart':
    case 'failover':
    case 'drain':
    case 'checkpoint':
      return [trigger.kind];
    default:
      return trigger satisfies never;
  }
}

function domain(name: string): string {
  return printable(name.toLowerCase().replace(/\.$/, ''));
}

/** The first segment, without query: `/wiki/Main?x=1` is `/wiki`, and `/4711/edit` is `/*`. */
function pathPrefix(path: string): string {
  const plain = path.replace(/^[a-z]+:\/\/[^/?#]*/i, '').replace(/[?#].*$/s, '');
  const segment = plain.split('/').find((part) => part !== '') ?? '';
  return `/${identifier.test(segment) ? '*' : printable(segment)}`;
}

function printable(text: string): string {
  return text.slice(0, maxWordLength).replace(/[^\x21-\x7e]/g, '?');
}
