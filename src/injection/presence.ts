/** What the client has in a place that alterd fills: a set of bits. An empty value is none. */

/** A value of its own. */
export const OWN = 1;
/** The grant's placeholder. */
export const PLACEHOLDER = 2;

export const bitOf = (value: string, isPlaceholder: boolean): number => (isPlaceholder ? PLACEHOLDER : value === '' ? 0 : OWN);
