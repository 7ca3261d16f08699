// An agent that streams a message with the vendor's client and tells the provider what it has read so far.
import Anthropic from '@anthropic-ai/sdk';

const client = new Anthropic({ maxRetries: 0 });
const stream = await client.messages.create({
  model: 'm',
  max_tokens: 16,
  stream: true,
  messages: [{ role: 'user', content: 'hi' }],
});
let text = '';
for await (const event of stream) {
  if (event.type === 'content_block_delta') text += event.delta.text;
  if (text === 'first') await fetch('https://api.anthropic.com/seen');
}
process.stdout.write(JSON.stringify({ text, key: process.env.ANTHROPIC_API_KEY }));
