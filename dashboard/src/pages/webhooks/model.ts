// Webhook sources and their deliveries, as sentences. Pure.

import type { Schemas } from "../../api/client";

export type Source = Schemas["WebhookSource"];
export type Delivery = Schemas["WebhookDelivery"];
export type Tested = Schemas["WebhookVerifyTested"];

export const PRESETS = ["github", "stripe", "slack", "shopify", "twilio", "standard"] as const;
export const STATUSES = ["accepted", "rejected", "failed"] as const;

/** What protects a source. */
export function protection(source: Source): string {
  if (!source.verifies) return "the token alone";
  return source.verify_secret_prev_set ? "signature, by the secret or the previous one" : "signature";
}

/** What became of a delivery, beside its status. */
export function outcome(delivery: Delivery): string {
  if (delivery.error) return delivery.error;
  if (delivery.duplicate) return "came before: answered with the first one's event";
  if (delivery.replayed_as) return "replayed";
  return "";
}

/** The shape of a status, so that colour is never alone. */
export function mark(status: string): string {
  return { accepted: "✓", rejected: "⊘", failed: "✕" }[status] ?? "○";
}

/** The body of a delivery: JSON where it is JSON, else its text. */
export function content(body: string | undefined): { json: unknown } | { text: string } {
  try {
    return { json: JSON.parse(body ?? "") as unknown };
  } catch {
    return { text: body ?? "" };
  }
}

/** Headers typed as lines of `Name: value`. fault: a line that is none. */
export function headersOf(text: string): { headers: Record<string, string>; fault: string } {
  const headers: Record<string, string> = {};
  for (const line of text.split("\n").map((each) => each.trim()).filter(Boolean)) {
    const at = line.indexOf(":");
    if (at < 1) return { headers, fault: `${JSON.stringify(line.slice(0, 60))} is no header; write Name: value.` };
    headers[line.slice(0, at).trim()] = line.slice(at + 1).trim();
  }
  return { headers, fault: "" };
}

/** The address that a provider calls. A server that does not know its public URL answers a path of this one. */
export function ingestUrl(source: Source, origin: string): string {
  return new URL(source.ingest_url ?? "", origin).href;
}

/** What a descriptor says, each field once: REST writes the names of older clients beside them. */
export function descriptor(config: NonNullable<Source["verify_config"]>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(config).filter(([name, value]) => !/[A-Z]/.test(name) && value !== "" && value !== 0));
}
