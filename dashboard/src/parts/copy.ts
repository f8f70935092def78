// A request as what can be pasted: curl, Python, the command line. Pure.

const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;

/** An argument of a command line: as it is, or in quotes where a shell would interpret it. */
export const argument = (text: string): string => (/^[\w./:@-]+$/.test(text) ? text : quoted(text));

/** origin: the server's address. path: with its query. environment: named only when it is not `default`. withKey: name the variable of the key. */
export function curl(origin: string, verb: string, path: string, environment: string, body?: unknown, withKey = false): string {
  const parts = ["curl"];
  if (verb.toUpperCase() !== "GET") parts.push(`-X ${verb.toUpperCase()}`);
  if (withKey) parts.push('-H "Authorization: Bearer $IRONFLOW_API_KEY"');
  if (environment !== "default") parts.push(`-H ${quoted(`X-Ironflow-Environment: ${environment}`)}`);
  if (body !== undefined) parts.push(`-H 'Content-Type: application/json' -d ${quoted(JSON.stringify(body))}`);
  return [...parts, quoted(origin + path)].join(" ");
}
