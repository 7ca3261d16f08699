/**
 * Node preload: a file that `NODE_OPTIONS=--require` loads into Node programs whose version ignores HTTPS_PROXY (before 22.21,
 * and 24.0 to 24.4 for http/https), so that fetch, http and https go through the proxy. It is text, written at run time, so that
 * the build needs no copy step. It must never print, need a package, or stop a program: what it can't do it leaves alone.
 */
import { join } from 'node:path';
import { ensureOwnDirectory, readOwnFile, replaceFile } from './own-file.ts';

/**
 * CommonJS and old syntax on purpose: it is parsed by whatever Node a caller has, and a syntax error here would stop that program.
 * A proxy that is down or refuses fails the request, as in every other client; only a failing set-up falls back to direct.
 */
export const NODE_PRELOAD_SOURCE: string = String.raw`'use strict';
// Written by alterd. Sends fetch, http and https of this Node program through HTTPS_PROXY/HTTP_PROXY; honours NO_PROXY.
(function () {
  var MARK = Symbol.for('alterd.preload');
  if (globalThis[MARK]) return;
  Object.defineProperty(globalThis, MARK, { value: true });

  var version = process.versions.node.split('.').map(Number);
  var asked = process.env.NODE_USE_ENV_PROXY === '1';
  var nativeFetch = asked && (version[0] >= 24 || (version[0] === 22 && version[1] >= 21));
  var nativeHttp = asked && (version[0] >= 25 || (version[0] === 24 && version[1] >= 5) || (version[0] === 22 && version[1] >= 21));
  if (nativeFetch && nativeHttp) return;

  var net = require('net');

  function proxyOf(text) {
    if (!text) return null;
    try {
      var url = new URL(text);
      if (url.protocol !== 'http:') return null;
      var credentials = decodeURIComponent(url.username) + ':' + decodeURIComponent(url.password);
      return {
        origin: url.origin,
        host: url.hostname.replace(/^\[|\]$/g, ''),
        port: Number(url.port || 80),
        authorization: credentials === ':' ? null : 'Basic ' + Buffer.from(credentials).toString('base64'),
      };
    } catch (e) {
      return null;
    }
  }

  var secureProxy = proxyOf(process.env.https_proxy || process.env.HTTPS_PROXY);
  var plainProxy = proxyOf(process.env.http_proxy || process.env.HTTP_PROXY);
  if (!secureProxy && !plainProxy) return;

  function exceptionOf(entry) {
    var match = /^(?:\[(.+)\]|([^:]+|.*:.*:.*?))(?::(\d+))?$/.exec(entry.toLowerCase());
    if (!match) return null;
    return { host: (match[1] || match[2]).replace(/^\*?\.(?=.)/, ''), port: Number(match[3] || 0) };
  }
  var exceptions = (process.env.no_proxy || process.env.NO_PROXY || '').split(/[\s,]+/).map(exceptionOf).filter(Boolean);

  function isDirect(host, port) {
    var name = String(host).toLowerCase().replace(/^\[|\]$/g, '').replace(/\.$/, '');
    return exceptions.some(function (entry) {
      if (entry.port && entry.port !== Number(port)) return false;
      return entry.host === '*' || entry.host === name || name.endsWith('.' + entry.host);
    });
  }
  function isProxyItself(proxy, host, port) {
    return Number(port) === proxy.port && String(host).replace(/^\[|\]$/g, '') === proxy.host;
  }
  // The proxy for a target, or null to go direct.
  function route(secure, host, port) {
    var proxy = secure ? secureProxy : plainProxy;
    if (!proxy || isDirect(host, port)) return null;
    if ((secureProxy && isProxyItself(secureProxy, host, port)) || (plainProxy && isProxyItself(plainProxy, host, port))) return null;
    return proxy;
  }

  function openTunnel(proxy, host, port, callback) {
    var done = false;
    var received = Buffer.alloc(0);
    var socket = net.connect(proxy.port, proxy.host);
    function finish(error) {
      if (done) return;
      done = true;
      socket.removeListener('data', onData);
      socket.removeListener('close', onClose);
      if (error) socket.destroy();
      else socket.removeListener('error', finish);
      callback(error || null, error ? undefined : socket);
    }
    function fail(message) {
      var error = new Error(message);
      error.code = 'ERR_PROXY_TUNNEL';
      finish(error);
    }
    function onClose() {
      fail('The proxy closed the socket before it answered CONNECT');
    }
    function onData(chunk) {
      received = Buffer.concat([received, chunk]);
      var end = received.indexOf('\r\n\r\n');
      if (end < 0) return received.length > 65536 ? fail('The answer of the proxy to CONNECT is too long') : undefined;
      var status = /^HTTP\/1\.[01] (\d{3})/.exec(received.toString('latin1', 0, end));
      if (!status || status[1][0] !== '2') {
        return fail('The proxy refused the tunnel: ' + received.toString('latin1', 0, end).split('\r\n')[0]);
      }
      socket.pause();
      if (received.length > end + 4) socket.unshift(received.slice(end + 4));
      finish();
    }
    socket.setNoDelay(true);
    socket.on('error', finish);
    socket.on('close', onClose);
    socket.on('data', onData);
    var bare = String(host).replace(/^\[|\]$/g, '');
    var authority = (net.isIPv6(bare) ? '[' + bare + ']' : bare) + ':' + port;
    socket.write(
      'CONNECT ' + authority + ' HTTP/1.1\r\nHost: ' + authority + '\r\n' +
        (proxy.authorization ? 'Proxy-Authorization: ' + proxy.authorization + '\r\n' : '') + '\r\n'
    );
  }

  function installHttp() {
    var http = require('http');
    var https = require('https');

    // https: every Agent that does not make its own sockets gets one that ends at the target, through the tunnel.
    var connectTls = https.Agent.prototype.createConnection;
    https.Agent.prototype.createConnection = function createConnection(options, callback) {
      var agent = this;
      if (!options || typeof options !== 'object' || typeof callback !== 'function') return connectTls.apply(agent, arguments);
      if (options.socket || options.socketPath || options.path) return connectTls.apply(agent, arguments);
      var host = options.host || options.hostname || 'localhost';
      var port = options.port || 443;
      var proxy = route(true, host, port);
      if (!proxy) return connectTls.apply(agent, arguments);
      openTunnel(proxy, host, port, function (error, tunnel) {
        if (error) return callback(error);
        var socket;
        try {
          socket = connectTls.call(agent, Object.assign({}, options, { socket: tunnel }));
        } catch (failure) {
          tunnel.destroy();
          return callback(failure);
        }
        callback(null, socket);
      });
      return undefined;
    };

    // http: the request goes to the proxy itself, with the whole URL as its target.
    function rewrite(request, options, proxy) {
      var host = options.host || options.hostname || 'localhost';
      var port = Number(options.port || 80);
      var bare = String(host).replace(/^\[|\]$/g, '');
      var authority = (net.isIPv6(bare) ? '[' + bare + ']' : bare) + (port === 80 ? '' : ':' + port);
      var target = 'http://' + authority + request.path;
      if (request._header) {
        var lineEnd = request._header.indexOf('\r\n');
        var lines = request.method + ' ' + target + ' HTTP/1.1\r\n';
        if (proxy.authorization) lines += 'Proxy-Authorization: ' + proxy.authorization + '\r\n';
        request._header = lines + request._header.slice(lineEnd + 2);
      } else if (proxy.authorization) {
        request.setHeader('Proxy-Authorization', proxy.authorization);
      }
      request.path = target;
      return Object.assign({}, options, { host: proxy.host, hostname: proxy.host, port: proxy.port });
    }
    var addRequest = http.Agent.prototype.addRequest;
    var createSocket = http.Agent.prototype.createSocket;
    http.Agent.prototype.addRequest = function (request, options) {
      var args = Array.prototype.slice.call(arguments);
      try {
        // An Agent that makes its own sockets (a proxy agent of the program's own) is left alone.
        var ours = this.protocol === 'http:' && this.createSocket === createSocket;
        var usual = options && typeof options === 'object' && !options.socketPath && !options.socket && !options.createConnection;
        if (ours && usual && request.method !== 'CONNECT' && typeof request.path === 'string' && request.path[0] === '/') {
          var proxy = route(false, options.host || options.hostname || 'localhost', options.port || 80);
          if (proxy) args[1] = rewrite(request, options, proxy);
        }
      } catch (e) {
        args[1] = options;
      }
      return addRequest.apply(this, args);
    };
  }

  function headersWith(headers, name, value) {
    if (headers === undefined || headers === null) return [name, value];
    if (Array.isArray(headers)) return headers.concat([name, value]);
    if (typeof headers[Symbol.iterator] !== 'function') {
      var copy = Object.assign({}, headers);
      copy[name] = value;
      return copy;
    }
    var flat = [];
    for (var pair of headers) flat.push(pair[0], pair[1]);
    return flat.concat([name, value]);
  }
  function hasHost(headers) {
    if (!headers) return false;
    if (Array.isArray(headers)) return headers.some(function (item, i) { return i % 2 === 0 && String(item).toLowerCase() === 'host'; });
    if (typeof headers[Symbol.iterator] === 'function') return false;
    return Object.keys(headers).some(function (name) { return name.toLowerCase() === 'host'; });
  }

  function installFetch() {
    if (typeof globalThis.fetch !== 'function') return;
    var KEY = Symbol.for('undici.globalDispatcher.1');
    var emitWarning = process.emitWarning;
    process.emitWarning = function () {}; // Node 18 warns when the Fetch API is merely looked at
    try {
      void globalThis.Response; // loads Node's own undici, which then has its default dispatcher in place
    } finally {
      process.emitWarning = emitWarning;
    }
    var direct = globalThis[KEY];
    if (!direct || typeof direct.dispatch !== 'function' || !/^_?Agent$/.test(direct.constructor.name)) return;
    var tls = require('tls');

    function connect(options, callback) {
      var host = String(options.hostname || options.host).replace(/^\[|\]$/g, '');
      var port = Number(options.port || 443);
      openTunnel(route(true, host, port) || secureProxy, host, port, function (error, tunnel) {
        if (error) return callback(error, null);
        var done = false;
        function finish(failure) {
          if (done) return;
          done = true;
          socket.removeListener('error', finish);
          socket.removeListener('secureConnect', finish);
          if (failure) socket.destroy();
          callback(failure || null, failure ? null : socket);
        }
        var socket = tls.connect({
          socket: tunnel,
          host: host,
          servername: net.isIP(host) ? undefined : options.servername || host,
          ALPNProtocols: ['http/1.1'],
        });
        socket.on('error', finish);
        socket.on('secureConnect', finish);
      });
    }

    var agent = new direct.constructor({ connect: connect });
    var dispatchTunnelled = agent.dispatch;
    agent.dispatch = function dispatch(options, handler) {
      var viaTunnel = false;
      var sent = options;
      try {
        var url = new URL(options.origin);
        var secure = url.protocol === 'https:';
        var proxy = route(secure, url.hostname, url.port || (secure ? 443 : 80));
        if (proxy && secure) {
          viaTunnel = true;
        } else if (proxy && url.protocol === 'http:') {
          var headers = options.headers;
          if (!hasHost(headers)) headers = headersWith(headers, 'host', url.host);
          if (proxy.authorization) headers = headersWith(headers, 'proxy-authorization', proxy.authorization);
          sent = Object.assign({}, options, { origin: proxy.origin, path: url.origin + options.path, headers: headers });
        }
      } catch (e) {
        sent = options;
      }
      return viaTunnel ? dispatchTunnelled.call(agent, options, handler) : direct.dispatch(sent, handler);
    };
    globalThis[KEY] = agent;
  }

  if (!nativeHttp) {
    try {
      installHttp();
      require('module').syncBuiltinESMExports();
    } catch (e) {}
  }
  if (!nativeFetch) {
    try {
      installFetch();
    } catch (e) {}
  }
})();
`;

/**
 * Writes the preload file into `dir` and answers its path. Agents must be able to read it: a Node that can't load it won't start.
 * @throws AlterError forbidden
 */
export function writeNodePreload(dir: string): string {
  ensureOwnDirectory(dir);
  const file = join(dir, 'node-preload.cjs');
  if (readOwnFile(file)?.toString() !== NODE_PRELOAD_SOURCE) replaceFile(file, NODE_PRELOAD_SOURCE, 0o644);
  return file;
}
