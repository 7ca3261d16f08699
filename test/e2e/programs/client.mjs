// An agent's Node program: `client.mjs LIBRARY URL` asks for URL, then posts to it, and prints what it saw as JSON.
// It knows nothing of a proxy: where a library needs telling, it is told as its documentation says.
import https from 'node:https';

const [library, url] = process.argv.slice(2);

const seen = (status, error, text) => ({ status, error: error ?? null, body: JSON.parse(text) });
const ofFetch = async (response) => seen(response.status, response.headers.get('alter-error'), await response.text());

function ofHttps(method) {
  return new Promise((resolve, reject) => {
    const request = https.request(url, { method }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part) => {
        text += part;
      });
      response.on('end', () => resolve(seen(response.statusCode, response.headers['alter-error'], text)));
    });
    request.on('error', reject);
    request.end(method === 'POST' ? 'x' : undefined);
  });
}

const LIBRARIES = {
  fetch: async () => [await ofFetch(await fetch(url)), await ofFetch(await fetch(url, { method: 'POST', body: 'x' }))],
  https: async () => [await ofHttps('GET'), await ofHttps('POST')],
  undici: async () => {
    const { EnvHttpProxyAgent, fetch: undiciFetch, setGlobalDispatcher } = await import('undici');
    setGlobalDispatcher(new EnvHttpProxyAgent());
    return [await ofFetch(await undiciFetch(url)), await ofFetch(await undiciFetch(url, { method: 'POST', body: 'x' }))];
  },
  axios: async () => {
    const { default: axios } = await import('axios');
    const options = { validateStatus: null, transformResponse: [] };
    const answers = [await axios.get(url, options), await axios.post(url, 'x', options)];
    return answers.map((answer) => seen(answer.status, answer.headers['alter-error'], answer.data));
  },
  got: async () => {
    const { default: got } = await import('got');
    const options = { throwHttpErrors: false, retry: { limit: 0 } };
    const answers = [await got(url, options), await got.post(url, { ...options, body: 'x' })];
    return answers.map((answer) => seen(answer.statusCode, answer.headers['alter-error'], answer.body));
  },
};

process.stdout.write(JSON.stringify(await LIBRARIES[library]()));
