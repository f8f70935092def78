// Environments: how each looks at the top of the page. Pure.

import type { Schemas } from "../../api/client";

export type Environment = Schemas["Environment"];

/** What an environment's colour may be; others are shown without one. */
export const COLOURS = ["", "red", "amber", "green", "blue", "violet"] as const;
export type Colour = (typeof COLOURS)[number];

const isColour = (text: string): text is Colour => (COLOURS as readonly string[]).includes(text);

/** Its own colour; production is red unless it chose another. */
export function colourOf(name: string, own: string | undefined): Colour {
  if (own && isColour(own)) return own;
  return /^prod/i.test(name) ? "red" : "";
}
