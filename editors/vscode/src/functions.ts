// Finds the functions of a Python file: `@function("id", ...)`. Text in, places out.

export interface Found {
  id: string;
  /** The line of the decorator, from 0. */
  line: number;
}

const IMPORTED = /^[ \t]*(?:from|import)[ \t]+ironflow\b/m;
const DECORATOR = /^[ \t]*@(?:\w+\.)*function[ \t]*\(/gm;
// The id is the first argument, or named; a computed id has no place here.
const LITERAL = /^\s*(?:id\s*=\s*)?([rRuU]?)(["'])(\s*)\2\s*(?:,|$)/;
const NAMED = /,\s*id\s*=\s*([rRuU]?)(["'])(\s*)\2\s*(?:,|$)/;

/** Functions whose id is written as a literal, in the order of the file. A file that does not import ironflow has none. */
export function findFunctions(text: string): Found[] {
  const plain = blanked(text);
  if (!IMPORTED.test(plain)) return [];
  const found: Found[] = [];
  for (const match of plain.matchAll(DECORATOR)) {
    const start = match.index + match[0].length;
    const id = literalId(text, plain, start);
    if (id) found.push({ id, line: text.slice(0, match.index).split("\n").length - 1 });
  }
  return found;
}

function literalId(text: string, plain: string, start: number): string {
  const args = topLevel(plain, start);
  const match = LITERAL.exec(args) ?? NAMED.exec(args);
  if (!match) return "";
  const quote = start + match.index + match[0].indexOf(match[2] ?? "");
  const id = text.slice(quote + 1, quote + 1 + (match[3] ?? "").length);
  return id.includes("\\") ? "" : id;
}

/** The arguments of a call as long as they are in the text, with everything inside further brackets blanked. */
function topLevel(plain: string, start: number): string {
  let depth = 0;
  let args = "";
  for (let at = start; at < plain.length; at++) {
    const char = plain.charAt(at);
    if (")]}".includes(char) && depth-- === 0) return args;
    args += depth > 0 ? "." : char;
    if ("([{".includes(char)) depth++;
  }
  return args;
}

/** The text with comments and the contents of strings as blanks: every character and line stays at its place. */
function blanked(text: string): string {
  return text.replace(
    /#.*|"""(?:[^\\]|\\[^])*?(?:"""|$)|'''(?:[^\\]|\\[^])*?(?:'''|$)|"(?:\\[^]|[^"\\\n])*"?|'(?:\\[^]|[^'\\\n])*'?/g,
    (token) => {
      const quotes = /^("""|'''|"|')/.exec(token)?.[0] ?? "";
      const closed = quotes && token.length >= 2 * quotes.length && token.endsWith(quotes) ? quotes : "";
      const inside = token.slice(quotes.length, token.length - closed.length);
      return quotes + inside.replace(/[^\n]/g, " ") + closed;
    },
  );
}
