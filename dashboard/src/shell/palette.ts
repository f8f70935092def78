// What the palette offers for a text: pages whose title fits, and the thing that an id names. Pure.

export interface Choice {
  title: string;
  hint: string;
  to: string;
}

const KINDS: [RegExp, string, string][] = [
  [/^run_\w+$/, "Run", "runs"],
  [/^evt_\w+$/, "Event", "events"],
];

/** Choices, best first. pages: title and noun of each page of the dashboard. */
export function choices(text: string, pages: { title: string; noun: string }[]): Choice[] {
  const wanted = text.trim();
  const found: Choice[] = [];
  for (const [pattern, title, noun] of KINDS) {
    if (pattern.test(wanted)) found.push({ title: `${title} ${wanted}`, hint: "open", to: `/${noun}/${encodeURIComponent(wanted)}` });
  }
  const low = wanted.toLowerCase();
  for (const page of pages) {
    if (page.title.toLowerCase().includes(low)) found.push({ title: page.title, hint: "page", to: `/${page.noun}` });
  }
  if (wanted && found.length === 0 && !/\s/.test(wanted)) {
    found.push({ title: `Runs with “${wanted}”`, hint: "search", to: `/runs?filter=${encodeURIComponent(wanted)}` });
    found.push({ title: `Function ${wanted}`, hint: "open", to: `/functions/${encodeURIComponent(wanted)}` });
    found.push({ title: `Stream ${wanted}`, hint: "open", to: `/streams/${encodeURIComponent(wanted)}` });
  }
  return found;
}
