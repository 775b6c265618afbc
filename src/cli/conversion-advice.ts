/** What to write instead of what Picogate does not take of an HAProxy configuration. */

interface Advice {
  /** Found in the message of the diagnostic. */
  readonly about: RegExp;
  readonly instead: string;
}

const table: readonly Advice[] = [
  {
    about: /'(?:nbthread|nbproc|cpu-map|thread-groups?|bind-process|cpu-policy|cpu-set)'/,
    instead: 'it may stay; one process uses one core, and `mode nat` needs none',
  },
  {about: /'chroot'/, instead: 'it may stay; what the unit of systemd allows confines the gateway'},
  {about: /'(?:cache|http-re\w+ cache-\w+)'|nothing is cached/, instead: 'it may stay; a cache of its own in front of the servers does what it did'},
  {about: /Lua/, instead: 'rules and converters do most of what scripts do: see docs/configuration.md'},
  {about: /SSL certificate from file|unable to stat/, instead: 'put the file where the configuration expects it, on this host'},
  {about: /'url_ip'|'url_port'/, instead: '`req.hdr(host),host_only` and `req.hdr(host),port_only`'},
  {about: /'socks4'|check-via-socks4/, instead: 'reach the server directly, or through a tunnel of the system (WireGuard, ssh -L)'},
  {about: /quic/, instead: 'remove the line: browsers go on with HTTP/2'},
  {about: /'(?:http|tcp)-check/, instead: '`option httpchk` with `http-check send` and `http-check expect`, or `tcp-check connect`'},
  {about: /relative to the client's/, instead: 'one `server` line for each port, each in a backend of its own'},
  {about: /missing port/, instead: 'the port: it is never taken from the client'},
  {
    about: /'tls-ticket-keys'/,
    instead: 'name a file with keys of 48 bytes, or leave it out: each gateway makes keys of its own, and clients of another one do a full handshake',
  },
  {about: /SPOE|spoe|spop/, instead: 'ask the service in a backend of its own: `http-request` rules cannot call out'},
  {about: /FastCGI|fcgi/, instead: 'an nginx beside the application; an app may hold both'},
  {about: /mails|mailers|email-alert/, instead: '`picogate events --follow`, or an alert on the metrics'},
  {about: /section 'peers'|'peers'/, instead: 'it may stay; stick tables are of one gateway'},
  {about: /missing timeouts/, instead: '`timeout client`, `timeout server` and `timeout connect` in `defaults`'},
  {
    about: /^unknown (?:keyword|fetch|converter|option)/,
    instead: 'leave it out, if it belongs to a module that HAProxy was built with; else see docs/configuration.md',
  },
];

const unlessNeeded = 'leave it out; between `.if !feature(PICOGATE)` and `.endif` HAProxy still has it';

/** @param message of a diagnostic. @param kind what the line means here */
export function insteadOf(message: string, kind: 'refused' | 'without effect' | 'different'): string {
  const found = table.find(({about}) => about.test(message));
  if (found !== undefined) return found.instead;
  return kind === 'refused' ? unlessNeeded : 'it may stay';
}
