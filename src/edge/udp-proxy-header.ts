/** What a `mode udp` frontend needs of whoever knows the PROXY protocol: the v2 header stands before the payload in every datagram. */
import type {ServerConfig} from '../config/proxy-value.ts';

export interface DatagramAddresses {
  readonly source: {readonly host: string; readonly port: number};
  readonly destination: {readonly host: string; readonly port: number};
}

export interface DatagramProxyCodec {
  /** The header at the beginning of a datagram, `addresses` null when it tells none (LOCAL, UNSPEC); null: there is no whole, right one. */
  read(datagram: Uint8Array): {readonly addresses: DatagramAddresses | null; readonly headerBytes: number} | null;
  /** The header for datagrams of a session to a server with `send-proxy-v2`. */
  write(addresses: DatagramAddresses, server: ServerConfig): Uint8Array;
}

/** A session's first datagram, as rules see it. */
export interface FirstDatagram extends DatagramAddresses {
  /** Without the header. It is valid during the call only. */
  readonly payload: Uint8Array;
  readonly receivedProxy: boolean;
}
