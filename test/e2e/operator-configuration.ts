/** Configurations in the styles of operators, in one file: each listener is one of them. `${NAME}` are for test/helpers/program-pair.ts. */
export const configuration = `global
  log 127.0.0.1:\${LOG} format raw local0
  stats socket \${DIR}/admin.sock level admin

defaults web
  mode http
  log global
  option httplog
  timeout connect 2s
  timeout client 10s
  timeout server 10s
  timeout http-request 1s
  timeout queue 300ms
  timeout tunnel 10s

defaults streams
  mode tcp
  log global
  option tcplog
  timeout connect 2s
  timeout client 10s
  timeout server 10s

userlist staff
  group ops users ann
  user ann insecure-password secret
  user bob insecure-password hidden

# TLS passes through by its name, or ends behind a unix socket.
frontend tls-in from streams
  bind 127.0.0.1:\${TLS}
  tcp-request inspect-delay 1s
  acl is_tls req.ssl_hello_type 1
  tcp-request content accept if is_tls
  tcp-request content reject
  use_backend passed if { req.ssl_sni -i pass.test }
  use_backend terminated if { req.ssl_sni -m end .web.test }

backend passed from streams
  server s1 127.0.0.1:\${TLS_ORIGIN}

backend terminated from streams
  server t1 unix@\${DIR}/tls.sock send-proxy-v2

frontend tls-end from web
  bind unix@\${DIR}/tls.sock accept-proxy ssl crt \${CERTIFICATES}/web.pem alpn http/1.1
  option forwardfor
  compression algo gzip
  compression type text/plain
  http-request set-header X-Forwarded-Proto https if { ssl_fc }
  http-request set-header X-Name %[ssl_fc_sni]
  http-request set-var(txn.req_path) path
  http-response set-header Strict-Transport-Security "max-age=31536000; includeSubDomains; preload"
  http-response set-header Cache-Control "public, max-age=31536000" if { var(txn.req_path) -m reg \\.(css|js|png)$ }
  http-response del-header X-Origin
  default_backend origin

frontend plain from web
  bind 127.0.0.1:\${PLAIN}
  monitor-uri /alive
  http-request redirect scheme https code 301 unless { ssl_fc }

frontend content from web
  bind 127.0.0.1:\${CONTENT}
  capture request header Host len 20
  capture request header User-Agent len 8
  capture response header X-Origin len 10
  acl is_api path_beg -i /api/ /v1/
  acl is_static hdr_beg(host) -i static. img.
  http-request set-header X-Request-Start t=%[req.hdr(host),lower,length]
  http-request replace-path /api/(.*) /\\1 if is_api
  http-request deny if { path_sub -i /../ } || { hdr_cnt(host) eq 0 }
  http-request return status 200 content-type text/plain string "none of your business\\n" hdr X-Made here if { path /robots.txt }
  use_backend api if is_api
  use_backend %[req.hdr(x-pool)] if { req.hdr(x-pool) -m found }
  use_backend static if is_static
  default_backend origin

backend api from web
  http-request set-header X-Backend api
  server a1 127.0.0.1:\${ORIGIN}

backend static from web
  http-response set-header X-Backend static
  http-response replace-header X-Origin (.)(.*) \\2\\1
  server b1 127.0.0.1:\${ORIGIN}

backend origin from web
  server o1 127.0.0.1:\${ORIGIN}

frontend limited from web
  bind 127.0.0.1:\${LIMITED}
  stick-table type ip size 1k expire 30s store http_req_rate(30s),gpc0
  http-request track-sc0 src
  http-request deny deny_status 429 hdr Retry-After 30 if { sc_http_req_rate(0) gt 3 }
  default_backend origin

frontend inspected from web
  bind 127.0.0.1:\${INSPECTED}
  tcp-request inspect-delay 1s
  stick-table type ip size 1k expire 30s store gpc0,http_req_cnt
  tcp-request content track-sc0 src
  tcp-request content set-var(txn.kind) str(api) if { path_beg /api }
  tcp-request content set-var(txn.kind) str(refused) if { path /refused }
  tcp-request content reject if { hdr(X-Bad) -m found }
  tcp-request content accept if HTTP
  tcp-request content reject
  http-request deny deny_status 429 if { path /third } { sc_http_req_cnt(0) gt 2 }
  http-request set-header X-Kind %[var(txn.kind)]
  http-request set-header X-First %[http_first_req]
  default_backend inspecting

backend inspecting from web
  tcp-request content reject if { path /backend }
  tcp-response content set-var(txn.seen) str(seen)
  tcp-response content reject if { var(txn.kind) -m str refused }
  http-response set-header X-Seen %[var(txn.seen)]
  http-response set-header X-Inspected yes
  server o1 127.0.0.1:\${ORIGIN}

listen guarded from web
  bind 127.0.0.1:\${GUARDED}
  acl signed_in http_auth(staff)
  acl is_ops http_auth_group(staff) ops
  http-request auth realm Staff unless signed_in
  http-request deny if { path_beg /ops } !is_ops
  server s1 127.0.0.1:\${ORIGIN}

listen sticky from web
  bind 127.0.0.1:\${STICKY}
  balance roundrobin
  cookie SRV insert indirect nocache httponly
  server s1 127.0.0.1:\${ORIGIN} cookie one
  server s2 127.0.0.1:\${ORIGIN} cookie two

listen queued from web
  bind 127.0.0.1:\${QUEUED}
  server s1 127.0.0.1:\${ORIGIN} maxconn 1

listen statistics from web
  bind 127.0.0.1:\${STATS}
  stats enable
  stats uri /stats
  stats realm Numbers
  stats auth ann:secret
  stats hide-version

listen judged from web
  bind 127.0.0.1:\${JUDGED}
  stats enable
  stats uri /stats
  stats http-request deny if { hdr(x-bad) -m found }
  stats http-request allow if { hdr(x-good) -m found }
  stats http-request auth realm My\\ Numbers unless { http_auth(staff) }

frontend sources from web
  bind 127.0.0.1:\${SOURCES}
  tcp-request connection reject if { src 127.0.0.2 127.1.0.0/16 }
  http-request silent-drop if { src 127.0.0.3 }
  default_backend origin

frontend custom from web
  bind 127.0.0.1:\${CUSTOM}
  http-request capture req.hdr(X-Long) len 5
  unique-id-format %{+X}o\\ %ci
  log-format "%f %b %s %ST %tsc %{+Q}r %HM %HP %HQ %HV %[capture.req.hdr(0)] %[var(txn.who),upper] %{+Q}[var(txn.none)] %CC %hr"
  http-request set-var(txn.who) req.hdr(X-Who)
  default_backend origin

listen failing from web
  bind 127.0.0.1:\${FAILING}
  no log
  log 127.0.0.1:\${LOG} format priority local0
  option log-separate-errors
  retries 1
  errorfile 503 \${CERTIFICATES}/503.http
  http-response set-header X-Never seen
  server s1 127.0.0.1:\${CLOSED}

listen impatient from web
  bind 127.0.0.1:\${IMPATIENT}
  timeout server 300ms
  server s1 127.0.0.1:\${ORIGIN}

listen upgraded from web
  bind 127.0.0.1:\${UPGRADED}
  acl is_websocket hdr(Upgrade) -i websocket
  http-request deny unless is_websocket
  server s1 127.0.0.1:\${ORIGIN}

listen mail from streams
  bind 127.0.0.1:\${MAIL}
  server s1 127.0.0.1:\${MAIL_ORIGIN} send-proxy

listen checked from streams
  bind 127.0.0.1:\${CHECKED}
  option tcp-check
  tcp-check send PING\\r\\n
  tcp-check expect string +PONG
  tcp-check send-binary 51554954 # QUIT
  tcp-check send \\r\\n
  tcp-check expect rstring ^\\+(OK|BYE)
  default-server inter 100ms fall 1 rise 1
  server broken 127.0.0.1:\${CLOSED} check
  server spare 127.0.0.1:\${REDIS_ORIGIN} check backup

backend answering from web
  option httpchk GET /text
  option log-health-checks
  timeout check 10s
  http-check expect status 200-299
  http-check expect hdr name -m beg X-Ori value -m sub rigin
  http-check expect fhdr name -m reg ^content-t value -m end plain
  http-check expect ! hdr name x-nothing
  server s1 127.0.0.1:\${ORIGIN} check inter 1s fall 1 rise 1
  server s2 127.0.0.1:\${CLOSED} check inter 1s fall 1 rise 1

listen told from streams
  bind 127.0.0.1:\${TOLD}
  log 127.0.0.1:\${LOG} format priority local0
  server s1 127.0.0.1:\${ORIGIN}

listen denied from streams
  bind 127.0.0.1:\${DENIED}
  tcp-request inspect-delay 200ms
  tcp-request content accept if { req.payload(0,4) -m bin 50494e47 }
  tcp-request content reject if WAIT_END
  server s1 127.0.0.1:\${REDIS_ORIGIN}

listen answers from streams
  bind 127.0.0.1:\${ANSWERS}
  tcp-response inspect-delay 1s
  tcp-response content accept if { res.payload(0,1) -m str + }
  tcp-response content reject
  server s1 127.0.0.1:\${REDIS_ORIGIN}

listen unreachable from streams
  bind 127.0.0.1:\${UNREACHABLE}
  retries 0
  server s1 127.0.0.1:\${CLOSED}
`;

/** Those `${NAME}` that are listened on. */
export const ports = [...configuration.matchAll(/bind 127\.0\.0\.1:\$\{([A-Z_]+)\}/g)].map(([, name = '']) => name);
