#!/usr/bin/env node
/**
 * A browser that agrees to everything: follows redirects with cookies, submits each form that it is shown, and ends at a page without one.
 * `browser.mjs URL`, with ISSUER_PORT for the issuer's socket on loopback, ISSUER_CA for its certificate and ACCOUNT for who signs in.
 */
import { readFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';

const { ISSUER_PORT, ISSUER_CA, ACCOUNT } = process.env;
const ca = readFileSync(ISSUER_CA);
const cookies = new Map();

function load(url, method, body) {
  const isIssuer = url.protocol === 'https:';
  return new Promise((resolve, reject) => {
    const headers = {
      host: url.host,
      'x-account': ACCOUNT,
      ...(isIssuer ? { cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join('; ') } : {}),
      ...(body === null
        ? {}
        : { 'content-type': 'application/x-www-form-urlencoded', 'content-length': Buffer.byteLength(body) }),
    };
    const where = isIssuer
      ? { host: '127.0.0.1', port: ISSUER_PORT, servername: url.hostname, ca }
      : { host: url.hostname, port: url.port };
    const send = isIssuer ? httpsRequest : httpRequest;
    const outgoing = send({ ...where, method, path: url.pathname + url.search, headers, agent: false }, (response) => {
      for (const line of response.headers['set-cookie'] ?? []) {
        const [pair] = line.split(';');
        cookies.set(pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1));
      }
      let text = '';
      response.setEncoding('utf8').on('data', (part) => (text += part));
      response.on('end', () => resolve({ status: response.statusCode, location: response.headers.location, text }));
    });
    outgoing.on('error', reject);
    outgoing.end(body ?? undefined);
  });
}

const attribute = (tag, name) => new RegExp(`${name}="([^"]*)"`).exec(tag)?.[1]?.replaceAll('&amp;', '&');

let url = new URL(process.argv[2]);
let method = 'GET';
let body = null;
for (let step = 0; step < 20; step++) {
  const page = await load(url, method, body);
  method = 'GET';
  body = null;
  if (page.location !== undefined) {
    url = new URL(page.location, url);
    continue;
  }
  const form = /<form[^>]*>/.exec(page.text)?.[0];
  if (form === undefined) {
    console.log(page.status, page.text.slice(0, 200));
    process.exit(page.status === 200 ? 0 : 1);
  }
  const fields = new URLSearchParams();
  for (const [input] of page.text.matchAll(/<input[^>]*>/g)) {
    const name = attribute(input, 'name');
    if (name !== undefined) fields.set(name, attribute(input, 'value') ?? '');
  }
  url = new URL(attribute(form, 'action'), url);
  method = 'POST';
  body = fields.toString();
}
process.exit(1);
