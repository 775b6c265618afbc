/**
 * What becomes of a packet for a sleeping app. Only a SYN or a datagram to an exposed port and new data of a known
 * connection are worth a wake; the end of a connection is kept for the app, and what asks only "are you there?" is
 * answered in its name. While the app is being dumped its connections are not known yet, and what could be of one is held.
 */
import type {Trigger} from '../core/trigger.ts';
import {echoReply, keepaliveAnswer, resetFor, unreachable, unreachableFor} from './answer.ts';
import {type FlowState, flowKey} from './flow.ts';
import {ipv4ToText} from './ipv4.ts';
import {type IcmpMessage, type Packet, type TcpSegment, tcpFlag, type UdpDatagram} from './packet.ts';

/** A port of an app that may be asked for. */
export interface Exposed {
  readonly protocol: 'tcp' | 'udp';
  readonly port: number;
}

/** The part of a sleeping app that a verdict depends on. */
export interface Sleeper {
  readonly expose: readonly Exposed[];
  readonly flows: 'unknown' | ReadonlyMap<string, FlowState>;
}

export type Verdict =
  /** Until the wake; `wanted` asks for one; `kept` is not given up after a while. `key` tells a repetition. */
  | {readonly action: 'hold'; readonly wanted: Trigger | null; readonly kept: boolean; readonly key: string | null}
  | {readonly action: 'answer'; readonly answer: Buffer | null}
  | {readonly action: 'answer keepalive'; readonly answer: Buffer | null; readonly flow: FlowState}
  | {readonly action: 'drop'};

const drop: Verdict = {action: 'drop'};

/** Answers to one flow are this far apart at least, so that two sides who disagree on what was sent cannot chatter. */
const answerIntervalMs = 900;

function has(segment: TcpSegment, flag: number): boolean {
  return (segment.flags & flag) !== 0;
}

/**
 * Is this a keepalive probe: no new data, at most the one byte before the next? Where the next byte's number is not known,
 * one byte is taken for a probe only in the form in which stacks send it, a zero that nobody pushed.
 */
function isProbe(segment: TcpSegment, receiveNext: number | undefined): boolean {
  if (segment.payload.length > 1 || (segment.flags & (tcpFlag.syn | tcpFlag.fin | tcpFlag.rst)) !== 0 || !has(segment, tcpFlag.ack)) return false;
  if (receiveNext !== undefined) return segment.sequence === (receiveNext - 1) >>> 0;
  return segment.payload.length === 0 || (segment.payload[0] === 0 && !has(segment, tcpFlag.psh));
}

function packetTrigger(kind: 'connection' | 'datagram' | 'packet', packet: Packet, transport: TcpSegment | UdpDatagram): Trigger {
  return {kind, protocol: transport.kind, port: transport.destinationPort, source: ipv4ToText(packet.source)};
}

function segmentKey(flow: string, segment: TcpSegment): string {
  const kind = segment.flags & (tcpFlag.syn | tcpFlag.fin | tcpFlag.rst);
  return `${flow}:${segment.sequence}:${segment.payload.length}:${kind}`;
}

function verdictOnFlow(packet: Packet, segment: TcpSegment, flow: FlowState, options: {flowId: string; nowMs: number}): Verdict {
  const key = segmentKey(options.flowId, segment);
  if (has(segment, tcpFlag.rst)) return {action: 'hold', wanted: null, kept: true, key};
  if (isProbe(segment, flow.receiveNext)) {
    if (options.nowMs - flow.answeredAtMs < answerIntervalMs) return drop;
    return {action: 'answer keepalive', answer: keepaliveAnswer(packet, segment), flow};
  }
  if (segment.payload.length > 0) return {action: 'hold', wanted: packetTrigger('packet', packet, segment), kept: false, key};
  return has(segment, tcpFlag.fin) ? {action: 'hold', wanted: null, kept: true, key} : drop;
}

function exposes({expose}: Sleeper, protocol: Exposed['protocol'], port: number): boolean {
  return expose.some((exposed) => exposed.protocol === protocol && exposed.port === port);
}

function verdictOnTcp(packet: Packet, segment: TcpSegment, sleeper: Sleeper, nowMs: number): Verdict {
  const flowId = flowKey({localPort: segment.destinationPort, remote: packet.source, remotePort: segment.sourcePort});
  const key = segmentKey(flowId, segment);
  if (has(segment, tcpFlag.syn) && !has(segment, tcpFlag.ack) && !has(segment, tcpFlag.rst)) {
    if (!exposes(sleeper, 'tcp', segment.destinationPort)) return {action: 'answer', answer: resetFor(packet, segment)};
    return {action: 'hold', wanted: packetTrigger('connection', packet, segment), kept: false, key};
  }
  if (sleeper.flows === 'unknown') {
    const ends = (segment.flags & (tcpFlag.rst | tcpFlag.fin)) !== 0;
    const speaks = (segment.payload.length > 0 && !isProbe(segment, undefined)) || has(segment, tcpFlag.syn);
    const wanted = speaks && !has(segment, tcpFlag.rst) ? packetTrigger('packet', packet, segment) : null;
    return {action: 'hold', wanted, kept: ends && wanted === null, key};
  }
  const flow = sleeper.flows.get(flowId);
  if (flow !== undefined) return verdictOnFlow(packet, segment, flow, {flowId, nowMs});
  return {action: 'answer', answer: resetFor(packet, segment)};
}

function verdictOnUdp(packet: Packet, datagram: UdpDatagram, sleeper: Sleeper): Verdict {
  // During a dump this may be the answer to a question that the app has just asked from a port of its own.
  if (!exposes(sleeper, 'udp', datagram.destinationPort) && sleeper.flows !== 'unknown') {
    return {action: 'answer', answer: unreachableFor(packet, unreachable.port)};
  }
  return {action: 'hold', wanted: packetTrigger('datagram', packet, datagram), kept: false, key: null};
}

function verdictOnIcmp(packet: Packet, message: IcmpMessage, sleeper: Sleeper): Verdict {
  const echoRequest = 8;
  if (message.type === echoRequest) return {action: 'answer', answer: echoReply(packet)};
  if (message.about?.source !== packet.destination) return drop;
  const flowId = flowKey({localPort: message.about.sourcePort, remote: message.about.destination, remotePort: message.about.destinationPort});
  if (sleeper.flows !== 'unknown' && !sleeper.flows.has(flowId)) return drop;
  return {action: 'hold', wanted: null, kept: true, key: `${flowId}:icmp:${message.type}:${message.code}`};
}

/** Decides; changes nothing. Later fragments are not its business: they follow their first one. */
export function verdictOn(packet: Packet, sleeper: Sleeper, nowMs: number): Verdict {
  const {transport} = packet;
  switch (transport.kind) {
    case 'tcp':
      return verdictOnTcp(packet, transport, sleeper, nowMs);
    case 'udp':
      return verdictOnUdp(packet, transport, sleeper);
    case 'icmp':
      return verdictOnIcmp(packet, transport, sleeper);
    case 'other':
      return {action: 'answer', answer: unreachableFor(packet, unreachable.protocol)};
    case 'later fragment':
      return drop;
    default:
      return transport satisfies never;
  }
}

/** What a client is told whose packet was held in vain: a RST for what TCP retransmits, ICMP unreachable for a datagram. */
export function refusalOf(packet: Packet): Buffer | null {
  const {transport} = packet;
  if (transport.kind === 'udp') return unreachableFor(packet, unreachable.port);
  if (transport.kind !== 'tcp') return null;
  const asked = transport.payload.length > 0 || has(transport, tcpFlag.syn);
  return asked ? resetFor(packet, transport) : null;
}
