/** Peers that are programs of the machine: nginx as a reverse proxy (the limit in C), squid with ssl-bump, mitmproxy. */
import { spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { peerAuthority } from '../keys.ts';
import { HOSTS, hostNumber, TOKEN } from '../names.ts';
import { freePort, launch, type Target, throughConnect } from './target.ts';

const CERTGEN = ['/usr/lib/squid/security_file_certgen', '/usr/lib64/squid/security_file_certgen'];
const isRoot = process.getuid?.() === 0;

const absentProgram = (command: string, args: readonly string[]): string | null =>
  spawnSync(command, args, { stdio: 'ignore' }).error === undefined ? null : `${command} is not installed`;

const nginxConfig = (dir: string, keys: string, port: number, originPort: number): string => `
daemon off; worker_processes 1; worker_rlimit_nofile 16384;${isRoot ? ' user root;' : ''}
pid ${dir}/nginx.pid; error_log ${dir}/error.log crit;
events { worker_connections 8000; multi_accept on; }
http {
  access_log off; client_max_body_size 64m;
  client_body_temp_path ${dir}/b; proxy_temp_path ${dir}/p; fastcgi_temp_path ${dir}/f; uwsgi_temp_path ${dir}/u; scgi_temp_path ${dir}/s;
  keepalive_timeout 120s; keepalive_requests 100000000; keepalive_time 1h;
  upstream origin { server 127.0.0.1:${originPort}; keepalive 1024; keepalive_requests 100000000; keepalive_timeout 120s; keepalive_time 1h; }
  server {
    listen 127.0.0.1:${port} ssl backlog=4096;
    ssl_certificate ${keys}/front.crt; ssl_certificate_key ${keys}/front.key; ssl_protocols TLSv1.2 TLSv1.3;
    proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $http_host;
    proxy_set_header Authorization "Bearer ${TOKEN}";
    proxy_ssl_server_name on; proxy_ssl_name ${hostNumber(0)}; proxy_ssl_verify on; proxy_ssl_trusted_certificate ${keys}/origin-ca.crt;
    proxy_ssl_protocols TLSv1.2 TLSv1.3; proxy_ssl_session_reuse on;
    proxy_request_buffering off; proxy_buffers 16 64k; proxy_buffer_size 64k; proxy_busy_buffers_size 256k; proxy_max_temp_file_size 0;
    location / { proxy_pass https://origin; }
    location /sse { proxy_buffering off; proxy_pass https://origin; }
  }
}
`;

export const nginx: Target = {
  name: 'nginx',
  note: 'reverse proxy with TLS on both sides, sets the header; no CONNECT: the limit in C, no peer',
  injects: true,
  oneCertificate: true,
  absent: () => absentProgram('nginx', ['-v']),
  prepare: async ({ keysDir, originPort }, dir) => ({
    launch: async () => {
      const port = await freePort();
      writeFileSync(join(dir, 'nginx.conf'), nginxConfig(dir, keysDir, port, originPort));
      const started = await launch(['nginx', '-p', `${dir}/`, '-e', `${dir}/error.log`, '-c', `${dir}/nginx.conf`], port, dir);
      return { ...started, via: { mode: 'front', port, authorization: null }, caFile: join(keysDir, 'front-ca.crt') };
    },
  }),
};

const squidConfig = (dir: string, keys: string, port: number, certgen: string): string => `
visible_hostname bench
http_port 127.0.0.1:${port} ssl-bump tls-cert=${dir}/ca.pem generate-host-certificates=on dynamic_cert_mem_cache_size=16MB
sslcrtd_program ${certgen} -s ${dir}/ssl_db -M 16MB
sslcrtd_children 2 startup=1 idle=1
ssl_bump bump all
tls_outgoing_options cafile=${keys}/origin-ca.crt
hosts_file ${dir}/hosts
request_header_access Authorization deny all
request_header_add Authorization "Bearer ${TOKEN}" all
http_access allow all
cache deny all
cache_mem 8 MB
access_log none
cache_log ${dir}/cache.log
cache_store_log none
pid_filename ${dir}/squid.pid
coredump_dir ${dir}
netdb_filename none
shutdown_lifetime 1 seconds
max_filedescriptors 16384
client_persistent_connections on
server_persistent_connections on
pconn_timeout 120 seconds
workers 1
pinger_enable off
`;

export const squid: Target = {
  name: 'squid',
  note: 'ssl-bump, certificates by security_file_certgen, sets the header',
  injects: true,
  absent: () => {
    if (!CERTGEN.some(existsSync)) return 'squid is not installed, or without security_file_certgen';
    return absentProgram('squid', ['-v']);
  },
  prepare: async ({ keysDir }, dir) => {
    const certgen = CERTGEN.find(existsSync) as string;
    copyFileSync(peerAuthority(keysDir).both, join(dir, 'ca.pem'));
    const hosts = Array.from({ length: HOSTS }, (_, n) => `127.0.0.1 ${hostNumber(n)}\n`);
    writeFileSync(join(dir, 'hosts'), hosts.join(''));
    spawnSync(certgen, ['-c', '-s', join(dir, 'ssl_db'), '-M', '16MB'], { stdio: 'ignore' });
    // Started by root it goes on as another user, who has to write here.
    if (isRoot) spawnSync('chown', ['-R', 'proxy:proxy', dir], { stdio: 'ignore' });
    return {
      launch: async () => {
        const port = await freePort();
        writeFileSync(join(dir, 'squid.conf'), squidConfig(dir, keysDir, port, certgen));
        const started = await launch(['squid', '-N', '-f', join(dir, 'squid.conf')], port, dir);
        return { ...started, via: throughConnect(port), caFile: peerAuthority(keysDir).certificate };
      },
    };
  },
};

const ADDON = `
import os
class Inject:
    def server_connect(self, data):
        # Nobody resolves the names of the run.
        data.server.address = ("127.0.0.1", data.server.address[1])
    def requestheaders(self, flow):
        flow.request.headers["authorization"] = "Bearer " + os.environ["BENCH_TOKEN"]
    def responseheaders(self, flow):
        flow.response.stream = "event-stream" in flow.response.headers.get("content-type", "")
addons = [Inject()]
`;

export const mitmproxy: Target = {
  name: 'mitmproxy',
  note: 'mitmdump with a small addon that sets the header',
  injects: true,
  absent: () => absentProgram('mitmdump', ['--version']),
  prepare: async ({ keysDir }, dir) => {
    const conf = join(dir, 'conf');
    mkdirSync(conf);
    copyFileSync(peerAuthority(keysDir).both, join(conf, 'mitmproxy-ca.pem'));
    writeFileSync(join(dir, 'addon.py'), ADDON);
    chmodSync(dir, 0o755);
    const sets = [
      `confdir=${conf}`,
      `ssl_verify_upstream_trusted_ca=${join(keysDir, 'origin-ca.crt')}`,
      'connection_strategy=lazy',
      'stream_large_bodies=1m',
      'flow_detail=0',
    ].flatMap((one) => ['--set', one]);
    return {
      launch: async () => {
        const port = await freePort();
        const command = [
          'mitmdump',
          '-q',
          '--listen-host',
          '127.0.0.1',
          '-p',
          String(port),
          ...sets,
          '-s',
          join(dir, 'addon.py'),
        ];
        const started = await launch(command, port, dir, { BENCH_TOKEN: TOKEN });
        return { ...started, via: throughConnect(port), caFile: peerAuthority(keysDir).certificate };
      },
    };
  },
};
