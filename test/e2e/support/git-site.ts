/** A real git repository over smart HTTP: `git http-backend` behind a small CGI wrapper that asks for Basic credentials. */
import { spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { runProgram } from '../../helpers/alterd-process.ts';
import type { Site } from './provider.ts';

/** A bare repository with one commit. */
export async function makeRepository(path: string, dir: string): Promise<void> {
  const work = join(dir, 'seed');
  mkdirSync(work, { recursive: true });
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(join(work, 'README'), 'widgets\n');
  const env = { PATH: process.env.PATH, HOME: work, GIT_CONFIG_NOSYSTEM: '1' };
  const git = async (...args: string[]): Promise<void> => {
    const end = await runProgram('git', ['-c', 'user.name=a', '-c', 'user.email=a@example.test', ...args], { env, cwd: work });
    if (end.status !== 0) throw new Error(`git ${args.join(' ')}: ${end.stderr}`);
  };
  await git('init', '--quiet', '--initial-branch=main');
  await git('add', 'README');
  await git('commit', '--quiet', '-m', 'first');
  await git('clone', '--quiet', '--bare', work, path);
  await git('--git-dir', path, 'config', 'http.receivepack', 'true');
}

/** @param credentials `user:password` as Basic has to carry them */
export function gitSite(backend: string, root: string, credentials: string): Site {
  const wanted = `Basic ${Buffer.from(credentials).toString('base64')}`;
  return (request, response) => {
    if (request.headers.authorization !== wanted) {
      response.writeHead(401, { 'www-authenticate': 'Basic realm="git"' }).end();
      return;
    }
    const { pathname, search } = new URL(request.url ?? '/', 'https://github.com');
    const cgi = spawn(backend, {
      env: {
        PATH: process.env.PATH,
        GIT_PROJECT_ROOT: root,
        GIT_HTTP_EXPORT_ALL: '1',
        PATH_INFO: pathname,
        QUERY_STRING: search.slice(1),
        REQUEST_METHOD: request.method,
        CONTENT_TYPE: request.headers['content-type'],
        HTTP_CONTENT_ENCODING: request.headers['content-encoding'],
        GIT_PROTOCOL: request.headers['git-protocol'] as string | undefined,
        REMOTE_USER: 'x-access-token',
      },
    });
    cgi.stdin.on('error', () => {});
    request.pipe(cgi.stdin);
    const parts: Buffer[] = [];
    cgi.stdout.on('data', (part: Buffer) => parts.push(part));
    cgi.on('close', () => {
      const output = Buffer.concat(parts);
      const end = output.indexOf('\r\n\r\n');
      let status = 200;
      for (const line of output.toString('latin1', 0, end).split('\r\n')) {
        const [name = '', value = ''] = line.split(/: (.*)/);
        if (name.toLowerCase() === 'status') status = Number.parseInt(value, 10);
        else response.setHeader(name, value);
      }
      response.writeHead(status).end(output.subarray(end + 4));
    });
  };
}
