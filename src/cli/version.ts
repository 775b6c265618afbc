/** What `-v`, `-vv`, `show info` and `show version` say of the program. */
import {release} from 'node:os';
import packageFile from '../../package.json' with {type: 'json'};
import {features} from '../config/conditional/predicates.ts';

export const version = packageFile.version;
export const releaseDate = '2026/11/28';

/** As HAProxy, so that whoever parses the first line finds a version. */
function shortVersion(): string {
  return `Picogate version ${version} ${releaseDate}\nStatus: development\nRunning on: ${process.platform} ${release()} ${process.arch}\n`;
}

/** @param verbose with how it was built, for `-vv` */
export function versionText({verbose}: {verbose: boolean}): string {
  if (!verbose) return shortVersion();
  const {node, openssl, zlib, uv} = process.versions;
  return `${shortVersion()}
Build options :
  TARGET  = ${process.platform}
  RUNTIME = Node ${node}

Feature list : ${[...features]
    .sort()
    .map((name) => `+${name}`)
    .join(' ')} -LUA -PROMEX -QUIC -THREAD

Default settings :
  bufsize = 16384, maxrewrite = 1024, maxpollevents = 1024

Built without multi-threading support.
Built with OpenSSL version : OpenSSL ${openssl}
Running on OpenSSL version : OpenSSL ${openssl}
OpenSSL library supports TLS extensions : yes
OpenSSL library supports SNI : yes
OpenSSL library supports : TLSv1.0 TLSv1.1 TLSv1.2 TLSv1.3
Built with zlib version : ${zlib}
Built with network namespace support.
Built with transparent proxy support using: IP_TRANSPARENT IPV6_TRANSPARENT
Built with libuv version : ${uv}

Available polling systems :
      epoll : pref=300,  test result OK
Total: 1 (1 usable), will use epoll.

Available multiplexer protocols :
(protocols marked as <default> cannot be specified using 'proto' keyword)
         h2 : mode=HTTP  side=FE|BE  mux=H2    flags=HTX|HOL_RISK|NO_UPG
  <default> : mode=HTTP  side=FE|BE  mux=H1    flags=HTX
         h1 : mode=HTTP  side=FE|BE  mux=H1    flags=HTX|NO_UPG
  <default> : mode=TCP   side=FE|BE  mux=PASS  flags=
`;
}
