/** Where the verdict on a configuration differs from HAProxy 2.6's, and why. */

const nonsense = 'HAProxy lets nonsense pass';
const outdated = 'what HAProxy has dropped is translated, with a warning';
const later = 'not implemented, and refused by name';
const atStart = 'found out when the gateway starts, not when the configuration is checked';

/** By the line as haproxy-lines.txt has it: why ours is the other verdict. */
export const differences: ReadonlyMap<string, string> = new Map([
  ['acl if path /', nonsense],
  ['http-request deny if !', nonsense],
  ['http-request set-var(txn.a) src if', nonsense],
  ['http-request sc-set-gpt0(1)', nonsense],
  ['http-request redirect scheme https if { ssl_fc } or', nonsense],
  ['maxconn x', nonsense],
  ['maxconn 10k', nonsense],
  ['retries x', nonsense],
  ['server a 1.2.3.4:80 weight', nonsense],
  ['server a 1.2.3.4:80 maxconn x', nonsense],
  ['default-server', nonsense],
  ['dispatch 1.2.3.4:80', nonsense],
  ['listen f;; bind :8999;; bind :8999;; server s 127.0.0.1:443 check', nonsense],
  ['listen f;; bind :8999;; server s 127.0.0.1', 'the port of a server is never that of the client'],
  ['block if TRUE', outdated],
  ['reqadd X:\\ y', outdated],
  ['clitimeout 5', outdated],
  ['option http-tunnel', 'it has no effect, and is accepted with a warning'],
  ['nbproc 1', 'it has no effect, and is accepted with a warning'],
  ['http-response cache-store x', 'it has no effect, and is accepted with a warning'],
  ['tcp-check connect port 80 ssl', 'only a server that is checked needs an authority for its checks'],
  ['bind fd@99', atStart],
  ['listen f;; bind :8999 crt /etc/hostname;; server s 127.0.0.1:443', atStart],
  ['email-alert from x', 'there are no mails'],
  ['tcp-request content switch-mode http', later],
  ['balance rdp-cookie', later],
  ['http-request disable-l7-retry', later],
  ['disabled', 'a frontend that does nothing is not an error'],
]);
