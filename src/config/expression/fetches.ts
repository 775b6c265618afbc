/** The table of sample fetches: what an expression can begin with. */
import type {MatchMethod} from '../sample.ts';
import {type CallSpec, signatureTable} from './signatures.ts';

/** What stick tables count; `get_`, `inc_` and `clr_` read and change counters of one's own. */
const counters = `bytes_in_rate bytes_out_rate clr_gpc0 clr_gpc1 conn_cnt conn_cur conn_rate get_gpc0 get_gpc1 get_gpt0 gpc0_rate gpc1_rate http_err_cnt
  http_err_rate http_fail_cnt http_fail_rate http_req_cnt http_req_rate inc_gpc0 inc_gpc1 kbytes_in kbytes_out sess_cnt sess_rate`
  .trim()
  .split(/\s+/);

const trackers = [0, 1, 2] as const;

/** What is counted in stick tables, by the number of the tracker, as an argument or in the name, or for the source address. */
const counterSignatures = counters.flatMap((what) => [
  `sc_${what}(int[,table]) int`,
  ...trackers.map((counter) => `sc${counter}_${what}([table]) int`),
  `src_${what}([table]) int`,
]);

/** The same of an element of an array, whose number comes first. HAProxy has one of them by the name of a tracker, and so has this program. */
const elementSignatures = [
  ...['get_gpc', 'inc_gpc', 'clr_gpc', 'gpc_rate', 'get_gpt'].flatMap((what) => [`sc_${what}(int,int[,table]) int`, `src_${what}(int,table) int`]),
  'sc1_clr_gpc(int[,table]) int',
];

/** How many sessions track an entry, and whether this one does. */
const trackerSignatures = [
  ...['trackers int', 'tracked bool'].flatMap((entry) => {
    const [what = '', type = ''] = entry.split(' ');
    return [`sc_${what}(int[,table]) ${type}`, ...trackers.map((counter) => `sc${counter}_${what}([table]) ${type}`)];
  }),
];

const signatures = signatureTable(`
  always_false bool
  always_true bool
  avg_queue([backend]) int
  base str
  base32 int
  base32+src bin
  baseq str
  be_conn([backend]) int
  be_name str
  be_sess_rate([backend]) int
  bin(string) bin
  bool(string) bool
  capture.req.hdr(int) str
  capture.req.method str
  capture.req.uri str
  capture.req.ver str
  capture.res.hdr(int) str
  capture.res.ver str
  cook([string]) str
  cook_cnt([string]) int
  cook_val([string]) int
  date([int,string]) int
  date_us int
  dns_qname str
  dns_qtype str
  dst ip
  dst_port int
  env(string) str
  fc_err int
  fc_err_str str
  fc_http_major int
  fc_dst ip
  fc_dst_port int
  fc_pp_authority str
  fc_pp_unique_id str
  fc_rcvd_proxy bool
  fc_src ip
  fc_src_port int
  fe_conn([frontend]) int
  fe_defbe str
  fe_name str
  fe_sess_rate([frontend]) int
  hdr([string,int]) str
  hdr_cnt([string]) int
  hdr_ip([string,int]) ip
  hdr_val([string,int]) int
  hostname str
  http_first_req bool
  http_auth(userlist) bool
  http_auth_bearer([string]) str
  http_auth_group(userlist) str
  http_auth_pass str
  http_auth_type str
  http_auth_user str
  int(int) int
  ipv4(ip) ip
  ipv6(ip) ip
  meth(string) method
  method method
  nbsrv([backend]) int
  path str
  pathq str
  payload(int,int) bin
  payload_lv(int,int[,string]) bin
  query str
  queue([backend]) int
  rand([int]) int
  req.body bin
  req.body_len int
  req.body_param([string]) bin
  req.body_size int
  req.cook([string]) str
  req.cook_cnt([string]) int
  req.cook_val([string]) int
  req.fhdr([string,int]) str
  req.fhdr_cnt([string]) int
  req.hdr([string,int]) str
  req.hdr_cnt([string]) int
  req.hdr_ip([string,int]) ip
  req.hdr_names([string]) str
  req.hdr_val([string,int]) int
  req.hdrs bin
  req.len int
  req.payload(int,int) bin
  req.payload_lv(int,int[,string]) bin
  req.proto_http bool
  req.ssl_alpn str
  req.ssl_hello_type int
  req.ssl_sni str
  req.ssl_ver int
  req.ver str
  req_len int
  req_proto_http bool
  req_ssl_hello_type int
  req_ssl_sni str
  req_ssl_ver int
  req_ver str
  res.body bin
  res.body_len int
  res.body_size int
  res.cook([string]) str
  res.cook_cnt([string]) int
  res.fhdr([string,int]) str
  res.fhdr_cnt([string]) int
  res.hdr([string,int]) str
  res.hdr_cnt([string]) int
  res.hdr_ip([string,int]) ip
  res.hdr_names([string]) str
  res.hdr_val([string,int]) int
  res.hdrs bin
  res.len int
  res.payload(int,int) bin
  res.payload_lv(int,int[,string]) bin
  res.ver str
  resp_ver str
  scook([string]) str
  scook_cnt([string]) int
  shdr([string,int]) str
  shdr_cnt([string]) int
  shdr_ip([string,int]) ip
  shdr_val([string,int]) int
  src ip
  src_port int
  srv_conn(server) int
  srv_is_up(server) bool
  srv_name str
  srv_queue(server) int
  srv_sess_rate(server) int
  ssl_c_der bin
  ssl_c_err int
  ssl_c_ca_err int
  ssl_c_i_dn([string,int,string]) str
  ssl_c_notafter str
  ssl_c_notbefore str
  ssl_c_s_dn([string,int,string]) str
  ssl_c_serial bin
  ssl_c_sha1 bin
  ssl_c_used bool
  ssl_c_verify int
  ssl_fc bool
  ssl_fc_alpn str
  ssl_fc_cipher str
  ssl_fc_err int
  ssl_fc_has_crt bool
  ssl_fc_has_sni bool
  ssl_fc_is_resumed bool
  ssl_fc_protocol str
  ssl_fc_sni str
  status int
  str(string) str
  table_cnt([table]) int
  unique-id str
  url str
  url32 int
  url32+src bin
  url_param([string,string]) str
  urlp([string,string]) str
  urlp_val([string,string]) int
  uuid([int]) str
  var(string[,string]) any
  wait_end bool
  wake.app str
  wake.ms int
  wake.trigger str
  ${[...counterSignatures, ...elementSignatures, ...trackerSignatures].join('\n')}
`);

/** Fetches of HAProxy that are not implemented. */
export const laterFetches: ReadonlySet<string> = new Set(
  `rdp_cookie rdp_cookie_cnt req.rdp_cookie req.rdp_cookie_cnt req_rdp_cookie req_rdp_cookie_cnt
  bc_dst bc_dst_port bc_http_major bc_src bc_src_port be_conn_free be_id be_server_timeout be_tunnel_timeout connslots
  cookie cpu_calls dst_conn dst_is_local fc_dst_is_local fc_lost fc_reordering fc_retrans fc_rtt fc_rttvar
  fc_sacked fc_src_is_local fc_unacked fcgi.docroot fcgi.index fe_client_timeout fe_id fe_req_rate lat_ns_avg nbproc
  prio_class prio_offset proc rep_ssl_hello_type req.hdrs_bin req.ssl_ec_ext req.ssl_st_ext res.cache_hit
  res.cache_name res.comp res.comp_algo res.cook_val res.ssl_hello_type so_id src_is_local src_updt_conn_cnt srv_conn_free srv_id srv_iweight
  srv_uweight srv_weight ssl_bc ssl_bc_alpn ssl_bc_cipher ssl_bc_protocol ssl_c_ca_err_depth ssl_c_chain_der ssl_c_key_alg
  ssl_c_sig_alg ssl_c_version ssl_f_der ssl_f_i_dn ssl_f_key_alg ssl_f_notafter ssl_f_notbefore ssl_f_s_dn
  ssl_f_serial ssl_f_sha1 ssl_f_sig_alg ssl_f_version ssl_fc_alg_keysize ssl_fc_cipherlist_bin ssl_fc_cipherlist_hex ssl_fc_cipherlist_str
  ssl_fc_cipherlist_xxh ssl_fc_client_random ssl_fc_err_str ssl_fc_has_early ssl_fc_npn ssl_fc_protocol_hello_id ssl_fc_server_random ssl_fc_session_id
  ssl_fc_session_key ssl_fc_unique_id ssl_fc_use_keysize stopping table_avl thread txn.sess_term_state txn.status url_ip url_port`
    .trim()
    .split(/\s+/),
);

/** Keywords that only tests (`acl`, `{ ... }`) know: a fetch and its matching method in one word. */
const suffixes: readonly MatchMethod[] = ['beg', 'dir', 'dom', 'end', 'len', 'reg', 'sub'];
const withSuffixes = ['base', 'cook', 'hdr', 'path', 'scook', 'shdr', 'url', 'urlp', 'url_param', 'req.hdr', 'res.hdr', 'req.cook', 'ssl_fc_sni', 'query'];

export interface TestKeyword {
  readonly fetch: string;
  readonly method: MatchMethod;
}

/** `hdr_beg` is `hdr` with `-m beg`. `payload` alone is compared byte by byte. */
export const testKeywords: ReadonlyMap<string, TestKeyword> = new Map([
  ...withSuffixes.flatMap((fetch) => suffixes.map((method) => [`${fetch}_${method}`, {fetch, method}] as const)),
  ['payload', {fetch: 'payload', method: 'bin'}] as const,
]);

export function fetchNamed(name: string): CallSpec | undefined {
  return signatures.get(name);
}

export const fetchSpecs: readonly CallSpec[] = [...signatures.values()];
