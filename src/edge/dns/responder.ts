/** From a message to its answer, whatever carried it. */
import type {DnsConfig} from '../../config/proxy-value.ts';
import type {Clock} from '../../core/clock.ts';
import {bareAnswer, udpLimitBytes, writeAnswer, writeHeaderOnly, writeTruncated} from './answer.ts';
import type {DnsApp} from './app-records.ts';
import type {AppWaker} from './app-waker.ts';
import type {Forwarder} from './forwarder.ts';
import {type NameKey, parentOf, rootKey, showName} from './name.ts';
import {flag, maxMessageBytes, type Rcode, rcode, recordType} from './protocol.ts';
import {type Query, readQuery} from './query.ts';
import {limitResponses, type Verdict} from './response-rate.ts';
import {compileZone, type Zone} from './zone.ts';

/** How a message came in. */
export interface Arrival {
  readonly protocol: 'udp' | 'tcp';
  /** The client's address, without its port. */
  readonly source: string;
  /** Where it came in. */
  readonly address: string;
  readonly port: number;
}

export interface Responder {
  /** The answer, null when there shall be none; a promise (that never rejects) only where others have to be asked. */
  respond(message: Uint8Array, arrival: Arrival): Buffer | null | Promise<Buffer | null>;
}

export interface ResponderOptions {
  readonly config: DnsConfig;
  /** @param name in lower case */
  readonly findApp: (name: string) => DnsApp | null;
  readonly waker: AppWaker;
  /** Null: questions about the names of others are refused. */
  readonly forwarder: Forwarder | null;
  readonly clock: Clock;
}

/** What is asked before somebody connects. */
const wakingTypes: ReadonlySet<number> = new Set([recordType.A, recordType.AAAA, recordType.SRV, recordType.SVCB, recordType.HTTPS, recordType.ANY]);

/** @throws CodedError ERR_BAD_DNS_RECORD, ERR_BAD_DNS_NAME */
export function createResponder({config, findApp, waker, forwarder, clock}: ResponderOptions): Responder {
  const serial = Math.trunc(clock.nowMs() / 1000);
  const zones: ReadonlyMap<NameKey, Zone> = new Map(config.zones.map((zone) => compileZone({config: zone, findApp, serial})).map((zone) => [zone.apex, zone]));
  const rate = limitResponses(config.responsesPerSecond, clock);
  const judge = (arrival: Arrival, kind: NameKey, code: Rcode): Verdict => (arrival.protocol === 'tcp' ? 'send' : rate.judge(arrival.source, kind, code));
  const limitBytes = (query: Query, {protocol}: Arrival): number => (protocol === 'tcp' ? maxMessageBytes : udpLimitBytes(query));

  const refuse = (query: Query, code: Rcode, arrival: Arrival): Buffer | null => {
    const verdict = judge(arrival, rootKey, code);
    if (verdict === 'drop') return null;
    return verdict === 'truncate' ? writeTruncated(query, false) : writeAnswer(query, bareAnswer(code), limitBytes(query, arrival));
  };

  const forward = async (through: Forwarder, query: Query, arrival: Arrival): Promise<Buffer | null> => {
    const answer = await through.forward(query);
    if (answer === null) return writeAnswer(query, bareAnswer(rcode.servFail), limitBytes(query, arrival));
    return answer.length > limitBytes(query, arrival) ? writeTruncated(query, false) : answer;
  };

  const answerForeign = (query: Query, arrival: Arrival): Buffer | null | Promise<Buffer | null> => {
    if (forwarder === null || (query.flags & flag.recursionDesired) === 0) return refuse(query, rcode.refused, arrival);
    const verdict = judge(arrival, query.name, rcode.noError);
    if (verdict === 'drop') return null;
    return verdict === 'truncate' ? writeTruncated(query, false) : forward(forwarder, query, arrival);
  };

  const answerOwn = (zone: Zone, query: Query, arrival: Arrival): Buffer | null => {
    const answer = zone.answer({name: query.name, type: query.type, arrivedAt: arrival.address});
    const verdict = judge(arrival, answer.source, answer.rcode);
    if (verdict === 'drop') return null;
    if (verdict === 'truncate') return writeTruncated(query, true);
    if (answer.app !== null && wakingTypes.has(query.type)) {
      const {protocol, port, source} = arrival;
      waker.wake(answer.app.name, {kind: protocol === 'udp' ? 'datagram' : 'connection', protocol, port, source, name: showName(query.name)});
    }
    const written = writeAnswer(query, answer, limitBytes(query, arrival));
    if (forwarder !== null) offerRecursion(written);
    return written;
  };

  return {
    respond(message, arrival) {
      const read = readQuery(message);
      switch (read.kind) {
        case 'drop':
          return null;
        case 'refuse':
          if (read.query !== null) return refuse(read.query, read.rcode, arrival);
          return judge(arrival, rootKey, read.rcode) === 'send' ? writeHeaderOnly(message, read.rcode) : null;
        case 'query': {
          const zone = closestZone(zones, read.query.name);
          return zone === null ? answerForeign(read.query, arrival) : answerOwn(zone, read.query, arrival);
        }
        default:
          return read satisfies never;
      }
    },
  };
}

/** Clients of a resolver expect it to say so in answers of its own too. */
function offerRecursion(answer: Buffer): void {
  answer[3] = (answer[3] ?? 0) | flag.recursionAvailable;
}

function closestZone(zones: ReadonlyMap<NameKey, Zone>, name: NameKey): Zone | null {
  for (let at = name; ; at = parentOf(at)) {
    const zone = zones.get(at);
    if (zone !== undefined) return zone;
    if (at === rootKey) return null;
  }
}
