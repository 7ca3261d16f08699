// An agent that streams a chat completion with the vendor's client and tells the provider what it has read so far.
import OpenAI from 'openai';

const client = new OpenAI({ maxRetries: 0 });
const stream = await client.chat.completions.create({ model: 'm', stream: true, messages: [{ role: 'user', content: 'hi' }] });
let text = '';
for await (const part of stream) {
  text += part.choices[0]?.delta?.content ?? '';
  // The provider sends the rest only when this has arrived: a proxy that holds parts back would stop here.
  if (text === 'first') await fetch('https://api.openai.com/seen');
}
const refused = await client.models
  .delete('m')
  .catch((error) => ({ status: error.status, code: error.headers?.get('alter-error') }));
process.stdout.write(JSON.stringify({ text, refused, key: process.env.OPENAI_API_KEY }));
