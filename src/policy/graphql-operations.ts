/**
 * The operations that a GraphQL request may run: kind and root field of each operation of the document, wherever in the request a
 * server may look for the document. The name of an operation is the client's free choice, so rules are about root fields, which
 * the server gives their meaning (S-57). All operations of a document count, whichever one the request selects. Pure.
 */
import { createRequire } from 'node:module';
import type { DocumentNode, FragmentDefinitionNode, SelectionSetNode } from 'graphql';
import { isJsonObject, type Json, JsonProblem, parseStrictJson } from './strict-json.ts';

/** `query:viewer`, `mutation:createIssue`. */
export type Operations = { readonly operations: readonly string[] } | { readonly problem: string };

type Parse = (source: string, options: { maxTokens: number; noLocation: boolean }) => DocumentNode;
let parse: Parse | null = null;

/** Loaded with the first request that needs it: 20 ms that a start should not wait for. */
function parser(): Parse {
  parse ??= (createRequire(import.meta.url)('graphql/language') as { parse: Parse }).parse;
  return parse;
}

const MAX_TOKENS = 10_000;
const MAX_BATCH = 50;
const MAX_OPERATIONS = 200;

/** Members that carry the document, or stand for one that the server keeps. */
const DOCUMENT_NAMES: ReadonlySet<string> = new Set(['query', 'mutation', 'subscription', 'document']);
const STORED_NAMES: ReadonlySet<string> = new Set([
  'id',
  'documentid',
  'queryid',
  'doc_id',
  'hash',
  'query_id',
  'persistedqueryid',
]);

/**
 * @param body text and media type of the body; null for none
 * @param query raw query string; null for none
 */
export function graphqlOperations(
  body: { readonly text: string; readonly mediaType: string } | null,
  query: string | null,
): Operations {
  const operations = new Set<string>();
  try {
    const inQuery = query === null ? 0 : readQuery(query, operations);
    const inBody = body === null || body.text === '' ? 0 : readBody(body, operations);
    if (inQuery + inBody === 0) return { problem: 'the request has no GraphQL document' };
  } catch (thrown) {
    if (thrown instanceof JsonProblem) return { problem: thrown.message };
    throw thrown;
  }
  return { operations: [...operations] };
}

/** Servers take the document from the URL too, some of them before the body. Answers how many documents were read. */
function readQuery(query: string, operations: Set<string>): number {
  let count = 0;
  for (const [name, value] of new URLSearchParams(query)) {
    const folded = name.toLowerCase();
    if (DOCUMENT_NAMES.has(folded)) {
      readDocument(value, operations);
      count++;
    } else if (folded === 'extensions' || STORED_NAMES.has(folded)) throw new JsonProblem('the request names a stored operation');
  }
  return count;
}

function readBody(body: { readonly text: string; readonly mediaType: string }, operations: Set<string>): number {
  if (body.mediaType === 'application/graphql') {
    readDocument(body.text, operations);
    return 1;
  }
  if (body.mediaType !== 'application/json' && !/^application\/[a-z0-9.-]+\+json$/.test(body.mediaType))
    throw new JsonProblem('the body is not of a media type that a GraphQL rule reads (application/json)');
  const document = parseStrictJson(body.text);
  const requests = Array.isArray(document) ? (document as readonly Json[]) : [document];
  if (requests.length === 0 || requests.length > MAX_BATCH)
    throw new JsonProblem('the batch of GraphQL requests is empty or too long');
  for (const request of requests) readRequest(request, operations);
  return requests.length;
}

function readRequest(request: Json, operations: Set<string>): void {
  if (!isJsonObject(request)) throw new JsonProblem('the body is not a GraphQL request');
  let documents = 0;
  for (const [name, value] of Object.entries(request)) {
    const folded = name.toLowerCase();
    if (DOCUMENT_NAMES.has(folded)) {
      // SECURITY: `Query` is the document for servers that match names without letter case, and nothing for the others.
      if (name !== 'query' || typeof value !== 'string') throw new JsonProblem('the body is not a plain GraphQL request');
      readDocument(value, operations);
      documents++;
    } else if (STORED_NAMES.has(folded)) throw new JsonProblem('the request names a stored operation');
    // With the document beside it, a persisted query is only a cache: its hash has to fit the document.
  }
  if (documents === 0) throw new JsonProblem('the request has no GraphQL document, or names a stored operation');
}

function readDocument(source: string, operations: Set<string>): void {
  let document: DocumentNode;
  try {
    document = parser()(source, { maxTokens: MAX_TOKENS, noLocation: true });
  } catch {
    throw new JsonProblem('the GraphQL document can not be parsed');
  }
  const fragments = new Map<string, FragmentDefinitionNode>();
  for (const definition of document.definitions)
    if (definition.kind === 'FragmentDefinition') fragments.set(definition.name.value, definition);
  for (const definition of document.definitions) {
    if (definition.kind === 'FragmentDefinition') continue;
    if (definition.kind !== 'OperationDefinition') throw new JsonProblem('the GraphQL document defines types');
    for (const field of rootFields(definition.selectionSet, fragments, new Set()))
      operations.add(`${definition.operation}:${field}`);
  }
  if (operations.size > MAX_OPERATIONS) throw new JsonProblem('the GraphQL document has too many root fields');
}

/** Names behind aliases, through fragments. */
function rootFields(set: SelectionSetNode, fragments: ReadonlyMap<string, FragmentDefinitionNode>, open: Set<string>): string[] {
  return set.selections.flatMap((selection) => {
    if (selection.kind === 'Field') return [selection.name.value];
    if (selection.kind === 'InlineFragment') return rootFields(selection.selectionSet, fragments, open);
    const { value } = selection.name;
    const fragment = fragments.get(value);
    if (fragment === undefined) throw new JsonProblem('the GraphQL document uses a fragment that it does not define');
    if (open.has(value)) return [];
    open.add(value);
    return rootFields(fragment.selectionSet, fragments, open);
  });
}
