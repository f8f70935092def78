// Which branch of a `parallel` or `map` a step is in, read from its step id. Pure. Source: protocol/step-semantics.md 1.

const PREFIXES = new Set(["compensate", "publish"]);

/** The branch, such as `quotes[1]`, inner ones after a slash; empty outside of branches and for ids of another shape. */
export function branchOf(stepId: string, runId: string): string {
  if (!stepId.startsWith(`${runId}:`)) return "";
  const rest = stepId.slice(runId.length + 1);
  // Most steps are in no branch: NAME:INDEX, without another colon and without an escape.
  if (!rest.includes("\\") && rest.indexOf(":") === rest.lastIndexOf(":")) return "";
  const found = parts(rest);
  if (found.length % 2 !== 0 || found.some((part, index) => index % 2 === 1 && !/^\d+$/.test(part))) return "";
  const names: string[] = [];
  for (let at = 0; at + 2 < found.length; at += 2) names.push(`${found[at]}[${found[at + 1]}]`);
  return names.join("/");
}

/** The parts of a step id after the run's, unescaped. An SDK's own prefix stays with the part that follows. */
function parts(text: string): string[] {
  const found: string[] = [];
  for (const [, part] of text.matchAll(/((?:[^:\\]|\\[^])*)(?::|$)/g)) found.push(part!.replace(/\\([^])/g, "$1"));
  found.pop();
  const joined: string[] = [];
  for (const part of found) {
    if (joined.length % 2 === 1 && PREFIXES.has(joined.at(-1)!)) joined[joined.length - 1] += `:${part}`;
    else joined.push(part);
  }
  return joined;
}

/** Whether a step of branch `own` is shown when only `wanted` is: the branch and those within it. */
export const isWithin = (own: string, wanted: string): boolean => own === wanted || own.startsWith(`${wanted}/`);
