import {ipv4ToNumber} from './ipv4.ts';

/** An established connection of a sleeping app. */
export interface Flow {
  readonly protocol: 'tcp';
  readonly localPort: number;
  readonly remoteAddress: string;
  readonly remotePort: number;
  /**
   * The sequence number that the app expects next (`inq_seq` in CRIU's tcp-stream image), if known. With it a keepalive
   * probe is told from data exactly; without it by its form.
   */
  readonly receiveNext?: number;
}

/** What the hold queue remembers of a flow. */
export interface FlowState {
  readonly receiveNext: number | undefined;
  /** When a probe was answered last. */
  answeredAtMs: number;
}

/** What identifies a flow within its app. */
export function flowKey(flow: {readonly localPort: number; readonly remote: number; readonly remotePort: number}): string {
  return `${flow.remote}:${flow.remotePort}:${flow.localPort}`;
}

/** Of all that have none: flows only leave a table. */
const noFlows = new Map<string, FlowState>();

/** @throws CodedError ERR_BAD_ADDRESS */
export function flowTable(flows: readonly Flow[]): Map<string, FlowState> {
  if (flows.length === 0) return noFlows;
  return new Map(
    flows.map((flow) => [
      flowKey({localPort: flow.localPort, remote: ipv4ToNumber(flow.remoteAddress), remotePort: flow.remotePort}),
      {receiveNext: flow.receiveNext, answeredAtMs: Number.NEGATIVE_INFINITY},
    ]),
  );
}
