/**
 * Every command of the CLI by name. A module is loaded only when its command is asked for: `alterd --help` reads none of them.
 */
import type { Command } from 'commander';
import type { Cli } from './cli.ts';

export type Define = (command: Command, cli: Cli) => void;

export interface CommandEntry {
  readonly name: string;
  readonly alias?: string;
  readonly summary: string;
  readonly load: () => Promise<Define>;
}

export const COMMANDS: readonly CommandEntry[] = [
  {
    name: 'init',
    summary: 'make what is missing: directories, configuration, keys, CA',
    load: async () => (await import('./commands/init.ts')).defineInit,
  },
  {
    name: 'start',
    summary: 'run the daemon in the foreground',
    load: async () => (await import('./commands/start.ts')).defineStart,
  },
  {
    name: 'status',
    summary: 'where the daemon listens and how it is',
    load: async () => (await import('./commands/status.ts')).defineStatus,
  },
  {
    name: 'run',
    summary: 'run a command as an agent, with its credentials added on the way',
    load: async () => (await import('./commands/run.ts')).defineRun,
  },
  {
    name: 'env',
    summary: 'print the variables that `run` would set',
    load: async () => (await import('./commands/env.ts')).defineEnv,
  },
  {
    name: 'doctor',
    summary: 'check the installation with the clients of this machine',
    load: async () => (await import('./commands/doctor.ts')).defineDoctor,
  },
  {
    name: 'selftest',
    summary: 'attack the running daemon with throw-away parts, and say what held',
    load: async () => (await import('./commands/selftest.ts')).defineSelftest,
  },
  {
    name: 'demo',
    summary: 'show the whole thing on loopback, without any account',
    load: async () => (await import('./commands/demo.ts')).defineDemo,
  },
  {
    name: 'agent',
    alias: 'agents',
    summary: 'agents and their keys',
    load: async () => (await import('./commands/agent.ts')).defineAgent,
  },
  {
    name: 'approvals',
    alias: 'approval',
    summary: 'requests that wait for a person to approve them',
    load: async () => (await import('./commands/approvals.ts')).defineApprovals,
  },
  {
    name: 'session',
    alias: 'sessions',
    summary: 'the short-lived keys of `run` and `env`',
    load: async () => (await import('./commands/session.ts')).defineSession,
  },
  {
    name: 'secret',
    alias: 'secrets',
    summary: 'credentials that alterd keeps and injects',
    load: async () => (await import('./commands/secret.ts')).defineSecret,
  },
  {
    name: 'grant',
    alias: 'grants',
    summary: 'which agent may call what with which secret',
    load: async () => (await import('./commands/grant.ts')).defineGrant,
  },
  {
    name: 'login',
    summary: 'sign in as a person, so that agents can call for you',
    load: async () => (await import('./commands/login.ts')).defineLogin,
  },
  { name: 'logout', summary: 'end the sign-in', load: async () => (await import('./commands/login.ts')).defineLogout },
  { name: 'whoami', summary: 'who is signed in', load: async () => (await import('./commands/login.ts')).defineWhoami },
  {
    name: 'user',
    alias: 'users',
    summary: 'people, as identity providers name them',
    load: async () => (await import('./commands/user.ts')).defineUser,
  },
  {
    name: 'delegate',
    summary: "let an agent use a person's grant",
    load: async () => (await import('./commands/delegation.ts')).defineDelegate,
  },
  {
    name: 'delegation',
    alias: 'delegations',
    summary: "which agent may use which person's grant",
    load: async () => (await import('./commands/delegation.ts')).defineDelegation,
  },
  {
    name: 'access',
    summary: 'who reaches a secret or a grant, and by which path',
    load: async () => (await import('./commands/access.ts')).defineAccess,
  },
  {
    name: 'reach',
    summary: 'what an agent reaches, and by which path',
    load: async () => (await import('./commands/access.ts')).defineReach,
  },
  {
    name: 'policy',
    alias: 'policies',
    summary: 'rules that restrict what grants allow',
    load: async () => (await import('./commands/policy.ts')).definePolicy,
  },
  {
    name: 'connect',
    summary: 'connect an account by OAuth, once, for agents to use',
    load: async () => (await import('./commands/connect.ts')).defineConnect,
  },
  {
    name: 'connect-session',
    alias: 'connect-sessions',
    summary: 'links with which somebody else connects their account',
    load: async () => (await import('./commands/connect-session.ts')).defineConnectSession,
  },
  {
    name: 'provider',
    alias: 'providers',
    summary: 'services that alterd knows how to authenticate to',
    load: async () => (await import('./commands/provider.ts')).defineProvider,
  },
  {
    name: 'kill',
    summary: 'end a grant, an agent, a user or a host at once, everywhere',
    load: async () => (await import('./commands/kill.ts')).defineKill,
  },
  {
    name: 'vault',
    summary: 'its master key; and a central vault that the daemons of other machines borrow from',
    load: async () => (await import('./commands/vault.ts')).defineVault,
  },
  {
    name: 'enroll',
    summary: 'make this machine borrow from a central vault',
    load: async () => (await import('./commands/enroll.ts')).defineEnroll,
  },
  {
    name: 'backup',
    summary: 'copies of vault, journal and sealed keys, while everything runs',
    load: async () => (await import('./commands/backup.ts')).defineBackup,
  },
  {
    name: 'restore',
    summary: 'a backup in the place of the vault that is here',
    load: async () => (await import('./commands/restore.ts')).defineRestore,
  },
  {
    name: 'export',
    summary: 'everything of a vault in one sealed file, to move it',
    load: async () => (await import('./commands/export.ts')).defineExport,
  },
  {
    name: 'import',
    summary: 'what an export holds into this vault, all of it or nothing',
    load: async () => (await import('./commands/import.ts')).defineImport,
  },
  {
    name: 'audit',
    summary: 'what was called, by whom, and what was decided',
    load: async () => (await import('./commands/audit.ts')).defineAudit,
  },
  {
    name: 'explain',
    summary: 'why a request went as it did, and what would change it',
    load: async () => (await import('./commands/explain.ts')).defineExplain,
  },
  { name: 'ca', summary: 'the local certificate authority', load: async () => (await import('./commands/ca.ts')).defineCa },
  {
    name: 'config',
    summary: 'the configuration and where each value comes from',
    load: async () => (await import('./commands/config.ts')).defineConfig,
  },
  { name: 'logs', summary: "follow the daemon's log", load: async () => (await import('./commands/logs.ts')).defineLogs },
  {
    name: 'completion',
    summary: 'print a completion script for a shell',
    load: async () => (await import('./commands/completion.ts')).defineCompletion,
  },
];
