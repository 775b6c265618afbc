import {run} from '../../src/core/command.ts';

/** Sends a datagram from port 0 of 127.0.0.1, which no socket can; for root. */
export async function sendFromPortZero(port: number, payload: Uint8Array): Promise<void> {
  const program = [
    'import socket, struct, sys',
    'payload = bytes.fromhex(sys.argv[2])',
    's = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)',
    's.sendto(struct.pack("!HHHH", 0, int(sys.argv[1]), 8 + len(payload), 0) + payload, ("127.0.0.1", 0))',
  ];
  await run(['python3', '-c', program.join('\n'), String(port), Buffer.from(payload).toString('hex')], {timeoutMs: 10_000});
}
