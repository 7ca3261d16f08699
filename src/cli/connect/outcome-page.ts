/** What the browser shows when it came back to the command line: fixed text, nothing of the provider's or the query's. */

const TEXTS = {
  connected: ['Connected', 'The account is connected. You can close this tab; the terminal goes on.'],
  consent_denied: ['Not connected', 'The consent was refused, and nothing was stored. The terminal says how to begin again.'],
  state_mismatch: [
    'Not this one',
    'This answer does not belong to the consent that the terminal began. It still waits: go back to the provider’s page.',
  ],
  failed: ['Not connected', 'Something went wrong on the way. The terminal says what.'],
  missing: ['Nothing here', 'Only the answer of a provider is waited for at this address.'],
} as const;

export type Outcome = keyof typeof TEXTS;

export function outcomePage(outcome: Outcome): string {
  const [title, text] = TEXTS[outcome];
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>${title} - alterd</title><meta name="viewport" content="width=device-width">
<style>body{font:1.1rem/1.5 system-ui,sans-serif;max-width:32rem;margin:20vh auto;padding:0 1rem;color-scheme:light dark}</style>
</head><body><main><h1>${title}</h1><p>${text}</p></main></body></html>
`;
}
