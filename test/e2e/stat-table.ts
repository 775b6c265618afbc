/** `show stat` as exporters read it: a header that names the columns, then rows. */

/** HAProxy's columns, in the order of its management guide (section 9.1). */
export const haproxyColumns =
  'pxname svname qcur qmax scur smax slim stot bin bout dreq dresp ereq econ eresp wretr wredis status weight act bck chkfail chkdown lastchg downtime ' +
  'qlimit pid iid sid throttle lbtot tracked type rate rate_lim rate_max check_status check_code check_duration hrsp_1xx hrsp_2xx hrsp_3xx hrsp_4xx ' +
  'hrsp_5xx hrsp_other hanafail req_rate req_rate_max req_tot cli_abrt srv_abrt comp_in comp_out comp_byp comp_rsp lastsess last_chk last_agt qtime ' +
  'ctime rtime ttime agent_status agent_code agent_duration check_desc agent_desc check_rise check_fall check_health agent_rise agent_fall agent_health ' +
  'addr cookie mode algo conn_rate conn_rate_max conn_tot intercepted dcon dses wrew connect reuse cache_lookups cache_hits srv_icur src_ilim qtime_max ' +
  'ctime_max rtime_max ttime_max eint idle_conn_cur safe_conn_cur used_conn_cur need_conn_est uweight agg_server_status agg_server_check_status ' +
  'agg_check_status';

export type StatLine = Readonly<Record<string, string>>;

/** Rows by `proxy/server`. @throws Error for a row that has not as many cells as the header names */
export function parseStat(csv: string): ReadonlyMap<string, StatLine> {
  const [header = '', ...lines] = csv.trimEnd().split('\n');
  if (!header.startsWith('# ')) throw new Error(`no header: ${header}`);
  const names = header.slice(2).split(',');
  return new Map(
    lines.map((line) => {
      const cells = splitLine(line);
      if (cells.length !== names.length) throw new Error(`${cells.length} cells for ${names.length} columns: ${line}`);
      const row = Object.fromEntries(names.map((name, index) => [name, cells[index] ?? '']));
      return [`${row.pxname}/${row.svname}`, row] as const;
    }),
  );
}

/** RFC 4180. */
function splitLine(line: string): string[] {
  return [...line.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,"]*))/g)].map(([, quoted, plain]) => quoted?.replaceAll('""', '"') ?? plain ?? '');
}
