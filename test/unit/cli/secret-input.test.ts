import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type FieldFlags, planFields, readFields } from '../../../src/cli/secret-input.ts';
import { temporaryDirectory } from '../../helpers/temporary.ts';

const directory = temporaryDirectory();
const secret = (name: string) => ({ name, label: name, secret: true, pattern: null });
const site = { name: 'site', label: 'Site', secret: false, pattern: null };
const TOKEN = [secret('token')];

describe('planFields', () => {
  test.each<[string, Parameters<typeof planFields>]>([
    ['an unknown field', [TOKEN, { fieldFile: ['other=/x'] }, []]],
    ['a field twice', [TOKEN, { tokenStdin: true, fieldFile: ['token=/x'] }, []]],
    ['a secret on the command line', [TOKEN, { field: ['token=SEKRET-marker-argv'] }, []]],
    ['an option that would carry a secret', [TOKEN, {}, ['--token', 'SEKRET-marker-argv']]],
    ['an option with its value', [TOKEN, {}, ['--token=SEKRET-marker-argv']]],
    ['a stray argument', [TOKEN, {}, ['SEKRET-marker-argv']]],
    ['a file option without a path', [TOKEN, {}, ['--token-file']]],
    ['no name before the path', [TOKEN, { fieldFile: ['/x'] }, []]],
    ['a descriptor that is no number', [TOKEN, { fieldFd: ['token=three'] }, []]],
    ['two fields from stdin', [[secret('user'), secret('password')], {}, ['--user-stdin', '--password-stdin']]],
    ['--token-stdin where it is not clear', [[secret('user'), secret('password')], { tokenStdin: true }, []]],
  ])('refuses %s, and repeats no value', (_name, [fields, flags, rest]) => {
    let thrown: unknown;
    try {
      planFields(fields, flags, rest);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toMatchObject({ code: 'invalid_input' });
    expect(String((thrown as Error).message)).not.toContain('SEKRET');
  });

  test.each<[string, FieldFlags, string[], object]>([
    ['--token-stdin', { tokenStdin: true }, [], { from: 'stdin' }],
    ['--token-file PATH', {}, ['--token-file', '/x'], { from: 'file', path: '/x' }],
    ['--token-file=PATH', {}, ['--token-file=/x'], { from: 'file', path: '/x' }],
    ['--field-file', { fieldFile: ['token=/x=y'] }, [], { from: 'file', path: '/x=y' }],
    ['--field-fd', { fieldFd: ['token=3'] }, [], { from: 'fd', fd: 3 }],
  ])('reads %s', (_name, flags, rest, source) => {
    expect(planFields(TOKEN, flags, rest).get('token')).toEqual(source);
  });

  test('--token-stdin fills the only secret, whatever its name, and dashes name fields with underscores', () => {
    expect(planFields([secret('api_key'), site], { tokenStdin: true, field: ['site=acme'] }, []).has('api_key')).toBe(true);
    expect(planFields([secret('api_key')], {}, ['--api-key-file', '/x']).get('api_key')).toEqual({ from: 'file', path: '/x' });
  });
});

describe('readFields', () => {
  const fromFile = async (content: string): Promise<Record<string, string>> => {
    const path = join(directory(), 'value');
    writeFileSync(path, content);
    return readFields(TOKEN, new Map([['token', { from: 'file', path } as const]]));
  };

  test.each(['', '\n'])('refuses the empty file %j', async (content) => {
    await expect(fromFile(content)).rejects.toMatchObject({ code: 'invalid_input' });
  });

  test('a missing file is told by its path', async () => {
    await expect(readFields(TOKEN, new Map([['token', { from: 'file', path: '/no/such/file' } as const]]))).rejects.toThrow(
      '/no/such/file',
    );
  });

  test('one line break at the end is no part of the value; others are', async () => {
    expect(await fromFile('SEKRET-marker-a\n')).toEqual({ token: 'SEKRET-marker-a' });
    expect(await fromFile('SEKRET-marker-a\r\n')).toEqual({ token: 'SEKRET-marker-a' });
    expect(await fromFile('SEKRET\nmarker\n\n')).toEqual({ token: 'SEKRET\nmarker\n' });
  });

  test('without a terminal a field that nobody gave is an error with the way to give it', async () => {
    await expect(readFields(TOKEN, new Map())).rejects.toMatchObject({
      code: 'invalid_input',
      hint: expect.stringContaining('--token-stdin'),
    });
  });
});
