import { expect, it } from "vitest";
import { content, descriptor, headersOf, ingestUrl, outcome, protection, type Delivery, type Source } from "./model";

it("says what protects a source", () => {
  expect(protection({ verifies: false } as Source)).toBe("the token alone");
  expect(protection({ verifies: true, verify_secret_prev_set: true } as Source)).toContain("or the previous one");
});

it("shows the error of a delivery before anything else", () => {
  expect(outcome({ error: "no signature", duplicate: true } as Delivery)).toBe("no signature");
  expect(outcome({ error: "", duplicate: true } as Delivery)).toContain("came before");
  expect(outcome({ error: "" } as Delivery)).toBe("");
});

it("reads a body as JSON or leaves it as text", () => {
  expect(content('{"a": 1}')).toEqual({ json: { a: 1 } });
  expect(content("a=1&b=2")).toEqual({ text: "a=1&b=2" });
  expect(content(undefined)).toEqual({ text: "" });
});

it("reads headers line by line and names what is none", () => {
  expect(headersOf("X-A: 1\n\n X-Time : 12:30 ")).toEqual({ headers: { "X-A": "1", "X-Time": "12:30" }, fault: "" });
  expect(headersOf("X-A: 1\nnonsense").fault).toContain("nonsense");
});

it("completes a path to the address that a provider calls", () => {
  expect(ingestUrl({ ingest_url: "/api/v1/webhooks/a" } as Source, "http://flow.example:1")).toBe("http://flow.example:1/api/v1/webhooks/a");
  expect(ingestUrl({ ingest_url: "https://public.example/w/a" } as Source, "http://flow.example:1")).toBe("https://public.example/w/a");
});

it("shows a field of a descriptor once and leaves empty ones out", () => {
  expect(descriptor({ signature_header: "X-A", signatureHeader: "X-A", timestamp_key: "", tolerance_seconds: 0 } as never)).toEqual({ signature_header: "X-A" });
});
