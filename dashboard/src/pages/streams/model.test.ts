import { expect, it } from "vitest";
import { changesOf, fold, versionOf, type Snapshot, type StreamEvent } from "./model";

const event = (entity_version: number, data: unknown) => ({ entity_version, data }) as StreamEvent;
const EVENTS = [event(3, { paid: true }), event(1, { items: 1, customer: "a" }), event(2, { items: 2 })];
const SNAPSHOT = { entity_version: 2, state: { items: 2, kept: true } } as unknown as Snapshot;

it("folds events up to a version, in their order", () => {
  expect(fold(undefined, EVENTS, 2)).toEqual({ items: 2, customer: "a" });
  expect(fold(undefined, EVENTS, 3)).toEqual({ items: 2, customer: "a", paid: true });
});

it("begins with a snapshot", () => {
  expect(fold(SNAPSHOT, EVENTS, 3)).toEqual({ items: 2, kept: true, paid: true });
});

it("shows what one event changed", () => {
  expect(changesOf(undefined, EVENTS, 2)).toEqual([{ path: "items", kind: "changed", before: 1, after: 2 }]);
  expect(changesOf(SNAPSHOT, EVENTS, 2)).toEqual([]);
});

it("takes data that is no object as it is", () => {
  expect(fold(undefined, [event(1, 5)], 1)).toBe(5);
});

it("keeps the version of an address within the stream", () => {
  expect([versionOf(null, 5), versionOf("2", 5), versionOf("9", 5), versionOf("x", 5)]).toEqual([5, 2, 5, 5]);
});
