import { expect, it } from "vitest";
import { around, drawn, fits, sentence, withGroups, type Flow, type Kind } from "./model";

const flow = (from: [Kind, string], to: [Kind, string], count = 1, failed = 0): Flow => ({ from: { kind: from[0], name: from[1] }, to: { kind: to[0], name: to[1] }, count, failed });
const placed = flow(["event", "order.placed"], ["function", "process"], 16, 3);
const ship = flow(["function", "process"], ["function", "ship"], 13);
const mail = flow(["function", "ship"], ["topic", "mail.orders"], 13);
const other = flow(["event", "stock.changed"], ["function", "sync"]);

it("fits names to patterns", () => {
  expect([fits("mail.*", "mail.orders"), fits("mail.*", "mail.orders.new"), fits("mail.>", "mail.a.b"), fits("mail.>", "mail"), fits("a", "b")]).toEqual([true, false, true, false, false]);
});

it("leads topics and events to the groups that read them", () => {
  const seen = [{ kind: "topic" as const, name: "mail.orders", count: 4 }, { kind: "event" as const, name: "mail.orders", count: 1 }];
  expect(withGroups([], seen, [{ name: "mailers", namespace: "default", pattern: "topic:mail.*" }])).toEqual([flow(["topic", "mail.orders"], ["group", "mailers"], 4)]);
});

it("keeps what leads to a thing and what it leads to", () => {
  expect(around([placed, ship, mail, other], "ship")).toEqual([placed, ship, mail]);
  expect(around([placed, other], "")).toEqual([placed, other]);
});

it("draws causes left of effects, and ends in a circle", () => {
  const back = flow(["function", "ship"], ["event", "order.placed"]);
  const picture = drawn([placed, ship, mail, back], []);
  const x = Object.fromEntries(picture.boxes.map((box) => [box.name, box.x]));
  expect(x["order.placed"]! < x["process"]! && x["process"]! < x["ship"]! && x["ship"]! < x["mail.orders"]!).toBe(true);
  expect(picture.links).toHaveLength(4);
  expect(picture.boxes.map((box) => box.note)).toEqual(["event", "16 runs, 3 failed", "13 runs", "topic"]);
});

it("leads to the page of each thing", () => {
  expect(drawn([placed, mail], []).boxes.map((box) => box.href)).toEqual(["/events?filter=name%3Aorder.placed", "/functions/process", "/functions/ship", "/topics/mail.orders"]);
});

it("says a link as a sentence", () => {
  expect([placed, ship, mail, flow(["function", "ship"], ["event", "sent"])].map(sentence)).toEqual([
    "order.placed started process 16 times, 3 failed", "process invoked ship 13 times", "ship published to mail.orders 13 times", "ship emitted sent once",
  ]);
});
