import { expect, test } from 'vitest';
import { rebuffOf } from '../../../src/web/guard.ts';

const ORIGIN = 'https://connect.example.test';
const PAGE = { host: 'connect.example.test', 'sec-fetch-dest': 'document' };
const STEP = {
  host: 'connect.example.test',
  origin: ORIGIN,
  'content-type': 'application/json',
  'sec-fetch-site': 'same-origin',
};

test.each([
  ['the page', 'GET', PAGE, false],
  ['the page, with the default port written out', 'GET', { host: 'CONNECT.example.test:443' }, false],
  ['the page, from a link elsewhere', 'GET', { ...PAGE, 'sec-fetch-site': 'cross-site' }, false],
  ['a step of the page', 'POST', STEP, true],
  ['a step of a browser that sends no Sec-Fetch headers', 'POST', { ...STEP, 'sec-fetch-site': undefined }, true],
])('%s passes', (_what, method, headers, isScripted) => {
  expect(rebuffOf({ method, headers, isScripted }, ORIGIN)).toBeUndefined();
});

test.each([
  ['the page under a rebound name', 'GET', { ...PAGE, host: 'evil.test' }, false, 403],
  ['the page under the address', 'GET', { ...PAGE, host: '127.0.0.1:4781' }, false, 403],
  ['the page under another port', 'GET', { ...PAGE, host: 'connect.example.test:8443' }, false, 403],
  ['the page under a name that begins alike', 'GET', { ...PAGE, host: 'connect.example.test.evil.test' }, false, 403],
  ['the page without a host', 'GET', { ...PAGE, host: undefined }, false, 403],
  ['the page in a frame', 'GET', { ...PAGE, 'sec-fetch-dest': 'iframe' }, false, 403],
  ['a form that is posted to the page', 'POST', PAGE, false, 405],
  ['a step under a rebound name', 'POST', { ...STEP, host: 'evil.test', origin: 'https://evil.test' }, true, 403],
  ['a step of another page', 'POST', { ...STEP, origin: 'https://evil.test' }, true, 403],
  ['a step of a sandboxed page', 'POST', { ...STEP, origin: 'null' }, true, 403],
  ['a step of nobody', 'POST', { ...STEP, origin: undefined }, true, 403],
  ['a step of the same host over http', 'POST', { ...STEP, origin: 'http://connect.example.test' }, true, 403],
  ['a step that the browser calls cross-site', 'POST', { ...STEP, 'sec-fetch-site': 'cross-site' }, true, 403],
  ['a step of another port of the host', 'POST', { ...STEP, 'sec-fetch-site': 'same-site' }, true, 403],
  ['a step as a form can send it', 'POST', { ...STEP, 'content-type': 'text/plain' }, true, 415],
  ['a step whose type only begins alike', 'POST', { ...STEP, 'content-type': 'application/jsonp' }, true, 415],
  ['a step by GET', 'GET', STEP, true, 405],
  ['a preflight', 'OPTIONS', STEP, true, 405],
  ['a step with a large body', 'POST', { ...STEP, 'content-length': '99999' }, true, 413],
])('%s is refused', (_what, method, headers, isScripted, status) => {
  expect(rebuffOf({ method, headers, isScripted }, ORIGIN)?.status).toBe(status);
});
