/** What is told of a client's certificate: by Debian's HAProxy and by our program. */
import {existsSync} from 'node:fs';
import {readFile} from 'node:fs/promises';
import {request} from 'node:https';
import test from 'ava';
import {makeTestAuthority, makeTestCertificate} from '../edge/tls/certificates.ts';
import {startPair, type Twin} from '../helpers/program-pair.ts';
import {temporaryDirectory} from '../helpers/temporary-directory.ts';

const pairTest = existsSync('/usr/sbin/haproxy') ? test : test.skip;
const fetches = ['ssl_c_used', 'ssl_c_verify', 'ssl_c_s_dn(CN)', 'ssl_c_i_dn', 'ssl_c_notbefore', 'ssl_c_notafter', 'ssl_c_serial,hex', 'ssl_c_sha1,hex'];

const configuration = `
defaults
  mode http
  timeout client 5s
  timeout server 5s
  timeout connect 5s
frontend f
  bind 127.0.0.1:\${TLS} ssl crt \${SERVER} ca-file \${CA} verify optional
  http-request return status 200 content-type text/plain lf-string "${fetches.map((fetch) => `%[${fetch}]`).join(' | ')}"
`;

function told(twin: Twin, client: {readonly cert?: string; readonly key?: string}): Promise<string> {
  const options = {port: twin.port('TLS'), host: '127.0.0.1', rejectUnauthorized: false, agent: false, ...client};
  return new Promise<string>((resolve, reject) => {
    const asked = request(options, (answer) => {
      let text = '';
      answer.setEncoding('utf8');
      answer.on('data', (part: string) => {
        text += part;
      });
      answer.on('end', () => resolve(text));
    });
    asked.on('error', reject);
    asked.end();
  });
}

pairTest('of the certificate of a client both programs tell the same', async (t) => {
  await using directory = await temporaryDirectory();
  const {path} = directory;
  const authority = await makeTestAuthority(path, 'ca');
  const server = await makeTestCertificate(path, {file: 'server', names: ['server.test']});
  const values = {SERVER: server.pemFile, CA: authority.certificateFile};
  await using pair = await startPair({configuration, ports: ['TLS'], values, directory: path});
  for (const name of [null, 'alice']) {
    const made = name === null ? null : await makeTestCertificate(path, {file: name, subject: `/C=FR/O=Example/CN=${name}`, by: authority});
    const client = made === null ? {} : {cert: await readFile(made.certificateFile, 'utf8'), key: await readFile(made.keyFile, 'utf8')};
    const ours = await told(pair.picogate, client);
    t.is(ours, await told(pair.haproxy, client));
    if (name !== null) t.regex(ours, /^1 \| 0 \| alice \| [^|]+ \| \d{12}Z \| \d{12}Z \| [0-9A-F]+ \| [0-9A-F]{40}$/);
  }
});
