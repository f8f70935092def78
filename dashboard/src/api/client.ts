// Requests to the public REST API, typed by the generated OpenAPI schema. Nothing else talks to the server over HTTP.

import { clock } from "../shell/clock.svelte";
import { session } from "../shell/session.svelte";
import { settings } from "../shell/settings.svelte";
import type { components, paths } from "./schema";

export type Schemas = components["schemas"];
type Method = "get" | "put" | "post" | "delete" | "patch";
type Operation<Path extends keyof paths, Verb extends Method> = paths[Path][Verb];
/** Of a list that can also be asked for without its page, the page: the dashboard asks for pages. */
type Page<Body> = [Exclude<Body, readonly unknown[]>] extends [never] ? Body : Exclude<Body, readonly unknown[]>;
type Json<Content> = Content extends { content: { "application/json": infer Body } } ? Page<Body> : never;
export type Answer<Path extends keyof paths, Verb extends Method> =
  Operation<Path, Verb> extends { responses: infer Responses }
    ? Responses extends { 200: infer Ok } ? Json<Ok> : Responses extends { 201: infer Made } ? Json<Made> : Responses extends { 202: infer Accepted } ? Json<Accepted> : undefined
    : never;
export type Body<Path extends keyof paths, Verb extends Method> =
  Operation<Path, Verb> extends { requestBody?: infer Content } ? Json<NonNullable<Content>> : never;

export interface Asked<Content = unknown> {
  path?: Record<string, string>;
  query?: Record<string, string | number | boolean | undefined>;
  body?: Content;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

/** The server's refusal, or that there was no answer. status: 0 without one, and then the outcome is not known. */
export class Failure extends Error {
  constructor(readonly status: number, message: string, readonly reason = "", readonly retryAfterS = 0, readonly details: Record<string, unknown> = {}) {
    super(message);
  }

  get unknown(): boolean {
    return this.status === 0;
  }
}

/** The address of an API route with its path and query values filled in. */
export function url(path: string, asked: Pick<Asked, "path" | "query"> = {}): string {
  const filled = path.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(asked.path?.[name] ?? ""));
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(asked.query ?? {})) if (value !== undefined && value !== "") query.set(name, String(value));
  const text = query.toString();
  return text ? `${filled}?${text}` : filled;
}

/** The answer of one request, typed by the OpenAPI document. Raises Failure. */
export async function ask<Path extends keyof paths & string, Verb extends Method>(
  verb: Verb, path: Path, asked: Asked<Partial<Body<Path, Verb>>> = {},
): Promise<Answer<Path, Verb>> {
  return (await exchange(verb, url(path, asked), asked)) as Answer<Path, Verb>;
}

/** Sends a body to an address that is filled in already, as the recipes of actions have it. Raises Failure. */
export async function send(verb: Method, address: string, body: unknown, headers: Record<string, string> = {}): Promise<unknown> {
  return exchange(verb, address, { body, headers });
}

/** Raises Failure unless the server accepts this key, whatever it may do. */
export async function accepts(key: string): Promise<void> {
  try {
    await request("get", "/api/v1/info", {}, key);
  } catch (error) {
    if (!(error instanceof Failure) || error.status !== 403) throw error;
  }
}

/** Logs in as a user: the browser keeps the session as a cookie that no script can read. Raises Failure. */
export async function logIn(email: string, password: string): Promise<void> {
  await request("post", "/api/v1/auth/login", { body: { email, password, cookie: true } }, "");
}

/** Ends the session of the cookie. Raises Failure. */
export async function logOut(): Promise<void> {
  await request("post", "/api/v1/auth/logout", {}, "");
}

/** What a key may not see of a view: `permitted` adds a line for each refusal. */
export type Refusals = string[];

/** The answer, or undefined when the key may not have it: a view shows the rest. */
export async function permitted<Value>(answer: Promise<Value>, refusals: Refusals): Promise<Value | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (!(error instanceof Failure) || error.status !== 403) throw error;
    if (!refusals.includes(error.message)) refusals.push(error.message);
    return undefined;
  }
}

/** A request that was refused for its key has done nothing, so it is repeated after a log-in. */
async function exchange(verb: string, address: string, asked: Asked): Promise<unknown> {
  for (;;) {
    const key = session.key;
    try {
      return await request(verb, address, asked, key);
    } catch (error) {
      if (!(error instanceof Failure) || error.status !== 401 || !(await session.renew(key))) throw error;
    }
  }
}

/** What every request carries: the environment, and the key of this tab; without one, the mark that a cookie needs. */
export function headers(key = session.key): Record<string, string> {
  return { "X-Ironflow-Environment": settings.environment, "X-Ironflow-SDK": "dashboard", ...(key ? { Authorization: `Bearer ${key}` } : { "X-Ironflow-CSRF": "1" }) };
}

async function request(verb: string, address: string, asked: Asked, key: string): Promise<unknown> {
  const sent = { ...headers(key), ...asked.headers };
  if (asked.body !== undefined) sent["Content-Type"] ??= "application/json";
  let response: Response;
  let text: string;
  try {
    response = await fetch(address, {
      method: verb.toUpperCase(), headers: sent, credentials: "same-origin",
      ...(asked.body === undefined ? {} : { body: typeof asked.body === "string" && sent["Content-Type"] !== "application/json" ? asked.body : JSON.stringify(asked.body) }),
      ...(asked.signal ? { signal: asked.signal } : {}),
    });
    text = await response.text();
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new Failure(0, "The server did not answer.");
  }
  clock.correct(response.headers.get("Date"));
  const data: unknown = text && response.headers.get("Content-Type")?.includes("json") ? JSON.parse(text) : undefined;
  if (response.ok) return data;
  const refusal = (data ?? {}) as { message?: string; error?: string; reason?: string; details?: Record<string, unknown> };
  const message = refusal.message ?? refusal.error ?? `${response.status} ${response.statusText}`;
  throw new Failure(response.status, message, refusal.reason, Number(response.headers.get("Retry-After") ?? 0), refusal.details);
}
