/** What caused a wake; the pager predicts pages by it and the log tells it. */
export type Trigger =
  | {
      readonly kind: 'connection' | 'datagram' | 'packet';
      readonly protocol: 'tcp' | 'udp';
      /** The app's port. */
      readonly port: number;
      /** The client's address, without its port. */
      readonly source: string;
    }
  | {readonly kind: 'operator' | 'start'};

/** As people read it: `tcp/80 from 192.0.2.1`, `operator`. */
export function describeTrigger(trigger: Trigger): string {
  switch (trigger.kind) {
    case 'connection':
    case 'datagram':
    case 'packet':
      return `${trigger.protocol}/${trigger.port} from ${trigger.source}`;
    case 'operator':
    case 'start':
      return trigger.kind;
    default:
      return trigger satisfies never;
  }
}
