/** HAProxy's options of `bind` and `server` that are not implemented. */

export interface KnownOptions {
  /** Without effect on what the program does, and how many values follow each. */
  readonly ignored: ReadonlyMap<string, number>;
  /** Refused by name. */
  readonly later: ReadonlySet<string>;
}

function names(text: string): readonly string[] {
  return text.trim().split(/\s+/);
}

export const bindOptions: KnownOptions = {
  ignored: new Map([
    ['tfo', 0],
    ['defer-accept', 0],
    ['process', 1],
    ['thread', 1],
    ['shards', 1],
    ['nice', 1],
    ['prefer-client-ciphers', 0],
    ['ecdhe', 1],
    ['curves', 1],
    ['tcp-ut', 1],
    ['mss', 1],
    ['npn', 1],
    ['allow-0rtt', 0],
    ['expose-fd', 1],
  ]),
  later: new Set(
    names(`accept-netscaler-cip accept-proxy alpn backlog ca-file ca-ignore-err ca-sign-file ca-sign-pass ca-verify-file cc ciphers ciphersuites
      client-sigalgs crl-file crt crt-ignore-err crt-list default-crt force-sslv3 force-tlsv10 force-tlsv11 force-tlsv12 force-tlsv13
      generate-certificates gid group guid-prefix id idle-ping interface ktls label level maxconn mode name namespace nbconn no-alpn no-ca-names
      no-sslv3 no-strict-sni no-tls-tickets no-tlsv10 no-tlsv11 no-tlsv12 no-tlsv13 ocsp-update proto quic-cc-algo quic-force-retry quic-socket
      severity-output sigalgs ssl ssl-max-ver ssl-min-ver strict-sni tcp-md5sig tls-ticket-keys tls-tickets transparent uid user v4v6 v6only verify`),
  ),
};

export const serverOptions: KnownOptions = {
  ignored: new Map([
    ['tfo', 0],
    ['pool-max-conn', 1],
    ['pool-purge-delay', 1],
    ['tcp-ut', 1],
  ]),
  later: new Set(
    names(`addr agent-addr agent-check agent-inter agent-port agent-send alpn backup ca-file cc check check-alpn check-pool-conn-name check-proto
      check-reuse-pool check-send-proxy check-sni check-ssl check-via-socks4 ciphers ciphersuites client-sigalgs cookie crl-file crt disabled
      downinter enabled error-limit fall fastinter force-sslv3 force-tlsv10 force-tlsv11 force-tlsv12 force-tlsv13 guid hash-key id idle-ping
      init-addr init-state inter interface log-bufsize log-proto max-reuse maxconn minconn namespace no-agent-check no-backup no-check
      no-check-reuse-pool no-check-send-proxy no-check-ssl no-disabled no-send-proxy no-send-proxy-v2 no-send-proxy-v2-ssl no-send-proxy-v2-ssl-cn
      no-ssl no-ssl-reuse no-sslv3 no-tfo no-tls-tickets no-tlsv10 no-tlsv11 no-tlsv12 no-tlsv13 no-verifyhost non-stick npn observe on-error
      on-marked-down on-marked-up pool-conn-name pool-low-conn port proto proxy-v2-options redir renegotiate resolve-net resolve-opts resolve-prefer
      resolvers rise send-proxy send-proxy-v2 send-proxy-v2-ssl send-proxy-v2-ssl-cn set-proxy-v2-tlv-fmt shard sigalgs slowstart sni sni-auto
      socks4 source ssl ssl-max-ver ssl-min-ver ssl-reuse stick strict-maxconn tcp-md5sig tls-tickets track usesrc verify verifyhost weight
      ws`),
  ),
};
