// Addresses and requests of the public REST API, and of the dashboard.

export interface Server {
  url: string;
  /** Empty: that of the API key. */
  environment: string;
  apiKey: string;
}

export interface Request {
  method: "GET" | "POST";
  url: string;
  headers: Record<string, string>;
  body?: string;
}

export interface FunctionRecord {
  id: string;
  name: string;
  status: string;
  recording?: boolean;
}

export interface RunRecord {
  id: string;
  function_id: string;
  status: string;
  created_at: string;
  started_at?: string | null;
  ended_at?: string | null;
  pause_reason?: string;
  error?: { message?: string } | null;
}

/** items: as many as were asked for at most. total: all that there are. */
export interface Listed<Item> {
  items: Item[];
  total: number;
}

export const FUNCTIONS_MAX = 10_000;
export const RUNS_MAX = 1_000;
const TIMEOUT_MS = 15_000;
const SCHEME = /^https?:\/\//i;

/** The server's refusal, or that there was no answer. status: 0 without one, and then the outcome is not known. */
export class Failure extends Error {
  constructor(readonly status: number, message: string) {
    super(message);
  }
}

/** Raises Failure for an address that is not one of HTTP. */
export function addressOf(server: Pick<Server, "url">, parts: string[], query: Record<string, string | number> = {}): string {
  const base = server.url.trim().replace(/\/+$/, "");
  if (!SCHEME.test(base) || !URL.canParse(base)) {
    throw new Failure(0, `"${server.url}" is not an address such as http://localhost:9123; change ironflow.serverUrl.`);
  }
  const asked = new URLSearchParams(Object.entries(query).map(([name, value]): [string, string] => [name, String(value)])).toString();
  return `${base}/${parts.map(encodeURIComponent).join("/")}${asked ? `?${asked}` : ""}`;
}

export function functionsRequest(server: Server, limit: number): Request {
  return get(server, ["functions"], { limit });
}

/** The newest runs; functionId: of one function only. */
export function runsRequest(server: Server, limit: number, functionId = ""): Request {
  return get(server, ["runs"], functionId ? { function_id: functionId, limit } : { limit });
}

export function invokeRequest(server: Server, functionId: string, data: unknown): Request {
  const url = addressOf(server, ["api", "v1", "functions", functionId, "invoke"]);
  return { method: "POST", url, headers: { ...headers(server), "Content-Type": "application/json" }, body: JSON.stringify({ data }) };
}

export function dashboardAddress(server: Pick<Server, "url">, runId: string): string {
  return addressOf(server, ["runs", runId]);
}

export async function listFunctions(server: Server, limit: number): Promise<Listed<FunctionRecord>> {
  const page = (await send(functionsRequest(server, limit))) as { functions: FunctionRecord[]; total_count: number };
  return { items: page.functions, total: page.total_count };
}

export async function listRuns(server: Server, limit: number, functionId = ""): Promise<Listed<RunRecord>> {
  const page = (await send(runsRequest(server, limit, functionId))) as { runs: RunRecord[]; total_count: number };
  return { items: page.runs, total: page.total_count };
}

/** The id of the run that was started. */
export async function invoke(server: Server, functionId: string, data: unknown): Promise<string> {
  return ((await send(invokeRequest(server, functionId, data))) as { run_id: string }).run_id;
}

/** The JSON of the answer. Raises Failure. */
export async function send(request: Request): Promise<unknown> {
  const { url, ...rest } = request;
  let response: Response;
  let text: string;
  try {
    response = await fetch(url, { ...rest, signal: AbortSignal.timeout(TIMEOUT_MS) });
    text = await response.text();
  } catch {
    throw new Failure(0, `${new URL(url).origin} does not answer.`);
  }
  const data = parsed(text);
  if (response.ok && data !== undefined) return data;
  if (response.ok) throw new Failure(0, `${new URL(url).origin} is not an Ironflow server: its answer is not JSON.`);
  throw new Failure(response.status, refusal(response.status, data));
}

function refusal(status: number, data: unknown): string {
  const { message, error } = (data ?? {}) as { message?: string; error?: string };
  const hint = status === 401 ? ' Store a key with "Ironflow: Set API Key".' : "";
  return (message ?? error ?? `The server refused with status ${status}.`) + hint;
}

function get(server: Server, parts: string[], query: Record<string, string | number>): Request {
  return { method: "GET", url: addressOf(server, ["api", "v1", ...parts], query), headers: headers(server) };
}

function headers({ apiKey, environment }: Server): Record<string, string> {
  return {
    "X-Ironflow-SDK": "vscode",
    ...(environment ? { "X-Ironflow-Environment": environment } : {}),
    ...(apiKey ? { Authorization: `Bearer ${apiKey}` } : {}),
  };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
