/**
 * The daemon's log: pino JSON lines on standard output, fixed messages with named fields. It is no audit trail, and nothing of
 * a request beyond its id, host and error code may ever be put into it; redaction is only the second net.
 */
import { execFile } from 'node:child_process';
import { type LevelWithSilent, pino } from 'pino';
import type { DataPlaneLog } from './proxy/data-plane.ts';

export interface DaemonLog extends DataPlaneLog {
  setLevel(level: LevelWithSilent): void;
}

/** SECURITY: names under which a secret could slip into a field by mistake. */
const REDACTED = [
  'authorization',
  'proxy_authorization',
  'token',
  'key',
  'secret',
  'password',
  'cookie',
  'headers',
  'body',
  'url',
];

/** Writes synchronously: a line that was logged before a crash is there after it. */
export function createLog(level: LevelWithSilent, fd = 1): DaemonLog {
  const log = pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      redact: { paths: REDACTED, censor: '[redacted]' },
      formatters: { level: (label) => ({ level: label }) },
    },
    pino.destination({ fd, sync: true }),
  );
  return {
    debug: (fields, message) => log.debug(fields, message),
    info: (fields, message) => log.info(fields, message),
    warn: (fields, message) => log.warn(fields, message),
    error: (fields, message) => log.error(fields, message),
    setLevel: (next) => {
      log.level = next;
    },
  };
}

/** Tells systemd about a state when it asked to be told (Type=notify). Node has no datagram Unix sockets, hence the program. */
export function notifySystemd(state: 'READY=1' | 'STOPPING=1' | 'RELOADING=1'): void {
  if (process.env.NOTIFY_SOCKET === undefined) return;
  // It waits until the manager has taken the message, so that it is known as ours; nobody waits for it here.
  execFile('systemd-notify', [`--pid=${process.pid}`, state], () => {}).unref();
}
