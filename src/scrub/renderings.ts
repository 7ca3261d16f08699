/**
 * The forms in which a program may write a secret down: as it is, encoded, escaped. Pure; knows bytes, not credentials.
 * Not covered, because no list of bytes can be: reversal, cutting, letters between letters, encryption, an encoding of an encoding
 * (but percent of percent).
 */

const BASE64 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
const BASE32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';

const hex = (code: number, digits: number): string => code.toString(16).padStart(digits, '0');
const mapUnits = (text: string, map: (unit: string, code: number) => string): string => {
  let out = '';
  for (let i = 0; i < text.length; i++) out += map(text[i] as string, text.charCodeAt(i));
  return out;
};

/**
 * The digits of a radix-2^bits encoding that are the same whatever stands before and behind the bytes, when they begin
 * `alignment` bytes into a group: those that hold bits of nothing else.
 */
function invariantDigits(bytes: Buffer, bits: 5 | 6, alignment: number, alphabet: string): string {
  const first = Math.ceil((alignment * 8) / bits);
  const last = Math.floor(((alignment + bytes.length) * 8) / bits);
  let out = '';
  for (let digit = first; digit < last; digit++) {
    let value = 0;
    for (let bit = digit * bits; bit < (digit + 1) * bits; bit++) {
      const at = bit - alignment * 8;
      value = (value << 1) | (((bytes[at >> 3] as number) >> (7 - (at & 7))) & 1);
    }
    out += alphabet[value];
  }
  return out;
}

/** Base64 and base64url in the three places where the bytes may stand in a group; padding never belongs to the middle. */
export function base64Forms(bytes: Buffer): string[] {
  return [0, 1, 2].flatMap((alignment) => {
    const standard = invariantDigits(bytes, 6, alignment, BASE64);
    return [standard, standard.replaceAll('+', '-').replaceAll('/', '_')];
  });
}

/** Base32 (RFC 4648) in its five places, and in lower case. */
export function base32Forms(bytes: Buffer): string[] {
  return [0, 1, 2, 3, 4].flatMap((alignment) => {
    const digits = invariantDigits(bytes, 5, alignment, BASE32);
    return [digits, digits.toLowerCase()];
  });
}

export function hexForms(bytes: Buffer): string[] {
  const lower = bytes.toString('hex');
  return [lower, lower.toUpperCase()];
}

/** What an encoder leaves alone: encodeURIComponent, encodeURI, RFC 3986, forms (space is `+`), and one that leaves nothing. */
const URI_SAFE: readonly RegExp[] = [
  /[A-Za-z0-9_.!~*'()-]/,
  /[A-Za-z0-9_.!~*'();/?:@&=+$,#-]/,
  /[A-Za-z0-9_.~-]/,
  /[A-Za-z0-9_.~/-]/,
  /[A-Za-z0-9_.*-]/,
  /[^\s\S]/,
];

/** Percent-encoded once and twice, in both letter cases. */
export function percentForms(bytes: Buffer): string[] {
  const forms = new Set<string>();
  for (const safe of URI_SAFE) {
    for (const upper of [true, false]) {
      let once = '';
      for (const byte of bytes) {
        const char = String.fromCharCode(byte);
        const pair = hex(byte, 2);
        once += byte < 0x80 && safe.test(char) ? char : `%${upper ? pair.toUpperCase() : pair}`;
      }
      forms.add(once);
      forms.add(once.replaceAll('%20', '+'));
      forms.add(once.replaceAll('%', '%25'));
      // Twice by an encoder that leaves nothing: the percent sign and its digits too.
      if (safe === URI_SAFE.at(-1))
        forms.add(mapUnits(once, (_unit, code) => `%${upper ? hex(code, 2).toUpperCase() : hex(code, 2)}`));
    }
  }
  return [...forms];
}

/** Characters that JSON writers escape as \uXXXX beyond what they must: none, HTML's (Go, Gson), .NET's, Django's, all non-ASCII, all. */
const JSON_ESCAPED: readonly RegExp[] = [
  /[^\s\S]/,
  /[^\x20-\x7e]/,
  /[<>&]|[^\x20-\x7e]/,
  /[<>&'=]|[^\x20-\x7e]/,
  /["<>&'+`]|[^\x20-\x7e]/,
  /["<>&'=;`\\-]|[^\x20-\x7e]/,
  /[\s\S]/,
];

/** As the inside of a JSON or JavaScript string. */
export function jsonForms(text: string): string[] {
  const forms = new Set<string>();
  for (const escaped of JSON_ESCAPED) {
    for (const upper of [false, true]) {
      for (const slash of ['/', '\\/']) {
        forms.add(
          mapUnits(text, (unit, code) => {
            if (escaped.test(unit)) return `\\u${upper ? hex(code, 4).toUpperCase() : hex(code, 4)}`;
            if (unit === '/') return slash;
            return unit === '"' || unit === '\\' ? `\\${unit}` : unit;
          }),
        );
      }
    }
  }
  // PHP and Python's repr quote the other quote.
  forms.add(text.replace(/['\\]/g, '\\$&'));
  forms.add(mapUnits(text, (_unit, code) => (code < 256 ? `\\x${hex(code, 2)}` : `\\u${hex(code, 4)}`)));
  forms.add(
    mapUnits(text, (_unit, code) => (code < 256 ? `\\x${hex(code, 2).toUpperCase()}` : `\\u${hex(code, 4).toUpperCase()}`)),
  );
  return [...forms];
}

const NAMED: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&apos;' };
/** What template engines write: named with each spelling of the apostrophe, and Handlebars' and OWASP's further characters. */
const HTML_ESCAPES: readonly ((char: string) => string | undefined)[] = [
  (char) => (char === "'" ? undefined : NAMED[char]),
  (char) => (char === "'" || char === '"' ? undefined : NAMED[char]),
  (char) => NAMED[char],
  (char) => (char === "'" ? '&#39;' : NAMED[char]),
  (char) => (char === "'" ? '&#039;' : NAMED[char]),
  (char) => (char === "'" ? '&#x27;' : NAMED[char]),
  (char) => (char === '"' ? '&#34;' : char === "'" ? '&#39;' : NAMED[char]),
  (char) => (char === "'" ? '&#x27;' : char === '/' ? '&#x2F;' : NAMED[char]),
  (char) =>
    char === "'" ? '&#x27;' : char === '=' || char === '`' ? `&#x${hex(char.charCodeAt(0), 2).toUpperCase()};` : NAMED[char],
  (char) => `&#${char.codePointAt(0)};`,
  (char) => `&#x${(char.codePointAt(0) as number).toString(16)};`,
  (char) => `&#x${(char.codePointAt(0) as number).toString(16).toUpperCase()};`,
  (char) => `&#X${(char.codePointAt(0) as number).toString(16).toUpperCase()};`,
];

/** As text of an HTML or XML document. */
export function htmlForms(text: string): string[] {
  return HTML_ESCAPES.map((escaped) => [...text].map((char) => escaped(char) ?? char).join(''));
}

/** In one letter case: header names over HTTP/2, variables of CGI. */
export function caseForms(text: string): string[] {
  return [text.toLowerCase(), text.toUpperCase()];
}
