/**
 * The calls of a JSON-RPC request (MCP among them): method, and for the methods of MCP that name something, what they name:
 * `tools/call:search`, `prompts/get:review`, `resources/read:file:///x`. Notifications count like calls; an answer to the server calls
 * nothing. Pure.
 */
import { isJsonObject, type Json, JsonProblem, parseStrictJson } from './strict-json.ts';

export type Calls = { readonly operations: readonly string[] } | { readonly problem: string };

const MAX_BATCH = 200;
const NAMED: Readonly<Record<string, string>> = {
  'tools/call': 'name',
  'prompts/get': 'name',
  'resources/read': 'uri',
  'resources/subscribe': 'uri',
  'resources/unsubscribe': 'uri',
};
/** JSON-RPC over GET puts the call into the query. */
const QUERY_NAMES: ReadonlySet<string> = new Set(['method', 'params', 'jsonrpc', 'id', 'request', 'message']);

/** @param body text of the body; null for none */
export function jsonRpcCalls(body: { readonly text: string } | null, query: string | null): Calls {
  if (query !== null && [...new URLSearchParams(query).keys()].some((name) => QUERY_NAMES.has(name.toLowerCase())))
    return { problem: 'the query of the URL may hold a call' };
  // MCP opens its stream with GET and ends its session with DELETE: neither calls anything.
  if (body === null || body.text === '') return { operations: [] };
  try {
    const document = parseStrictJson(body.text);
    const messages = Array.isArray(document) ? (document as readonly Json[]) : [document];
    if (messages.length === 0 || messages.length > MAX_BATCH) return { problem: 'the batch of calls is empty or too long' };
    return { operations: [...new Set(messages.flatMap(callOf))] };
  } catch (thrown) {
    if (thrown instanceof JsonProblem) return { problem: thrown.message };
    throw thrown;
  }
}

function callOf(message: Json): string[] {
  if (!isJsonObject(message)) throw new JsonProblem('the body is not a JSON-RPC message');
  const names = Object.keys(message);
  const methodName = names.find((name) => name.toLowerCase() === 'method');
  if (methodName === undefined) {
    if (names.includes('result') || names.includes('error')) return [];
    throw new JsonProblem('the body is not a JSON-RPC message');
  }
  const { method } = message;
  // SECURITY: `Method` is the method for servers that match names without letter case.
  if (methodName !== 'method' || typeof method !== 'string' || method === '')
    throw new JsonProblem('the body is not a plain JSON-RPC message');
  const member = Object.hasOwn(NAMED, method) ? NAMED[method] : undefined;
  if (member === undefined) return [method];
  const { params } = message;
  const paramsName = names.find((name) => name.toLowerCase() === 'params');
  if (paramsName !== 'params' || !isJsonObject(params))
    throw new JsonProblem(`the call of ${method} does not say what it is for`);
  const value = params[member];
  const spellings = Object.keys(params).filter((name) => name.toLowerCase() === member);
  if (typeof value !== 'string' || spellings.length !== 1)
    throw new JsonProblem(`the call of ${method} does not say what it is for`);
  return [`${method}:${value}`];
}
