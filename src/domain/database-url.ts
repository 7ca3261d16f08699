/**
 * The URL of a database of several hosts, as PostgreSQL's own programs write it: `postgresql://USER@A:5432,B:5432/NAME`, which the URL of the web
 * can't be. Pure; it must never put the text into an error, since it may hold a password.
 */

export interface DatabaseHost {
  /** A name, an address without brackets, or the directory of a socket. */
  readonly host: string;
  readonly port: number;
}

export interface DatabaseUrl {
  /** Without hosts: everything else of it. */
  readonly url: URL;
  /** In the order of the URL; one at least. */
  readonly hosts: readonly DatabaseHost[];
}

const SHAPE = /^(postgres(?:ql)?:\/\/)((?:[^@/?#]*@)?)([^@/?#]*)((?:[/?#].*)?)$/;
const PORT = 5432;

/** Null for what is none. */
export function parseDatabaseUrl(text: string): DatabaseUrl | null {
  const [, scheme, user, places, rest] = SHAPE.exec(text) ?? [];
  if (scheme === undefined || places === undefined || !URL.canParse(`${scheme}${user}host${rest}`)) return null;
  const url = new URL(`${scheme}${user}host${rest}`);
  const named = url.searchParams.get('host');
  const ports = url.searchParams.get('port')?.split(',');
  const inAuthority = places.split(',').map(placeOf);
  const hosts = named === null ? inAuthority : named.split(',').map((host) => ({ host: bare(host), port: inAuthority[0]?.port }));
  if (ports !== undefined && ports.length !== 1 && ports.length !== hosts.length) return null;
  const read = hosts.map((place, i) => ({
    host: place?.host ?? '',
    port: place?.port ?? Number(ports?.[ports.length === 1 ? 0 : i] ?? PORT),
  }));
  return read.every(isPlace) ? { url, hosts: read } : null;
}

/** The same with a password. @param text one that parseDatabaseUrl() can read */
export function withPassword(text: string, password: string): string {
  const [, scheme = '', user = '', places = '', rest = ''] = SHAPE.exec(text) ?? [];
  const name = user.replace(/(:.*)?@$/, '');
  return `${scheme}${name}:${encodeURIComponent(password)}@${places}${rest}`;
}

const bare = (host: string): string => host.replace(/^\[|\]$/g, '');

function placeOf(text: string): { readonly host: string; readonly port: number | undefined } | null {
  const [, host, port] = /^(\[[0-9A-Fa-f:.]+\]|[^:]*)(?::(\d{1,5}))?$/.exec(text) ?? [];
  if (host === undefined) return null;
  try {
    return { host: bare(decodeURIComponent(host)), port: port === undefined ? undefined : Number(port) };
  } catch {
    return null;
  }
}

const isPlace = ({ host, port }: DatabaseHost): boolean => host !== '' && Number.isInteger(port) && port > 0 && port < 65_536;
