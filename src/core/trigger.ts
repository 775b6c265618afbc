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
    }
  /** A timer of the app itself. */
  | {readonly kind: 'timer'}
  /** `wake-at`. */
  | {readonly kind: 'schedule'; readonly expression: string}
  | {readonly kind: 'operator' | 'start' | 'restart'};

/** As people read it: `tcp/80 from 192.0.2.1`, `tcp/80 GET /wiki from 192.0.2.1`, `operator`. */
export function describeTrigger(trigger: Trigger): string {
  const [key = trigger.kind] = triggerKeys(trigger);
  return 'source' in trigger ? `${key} from ${trigger.source}` : key;
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
