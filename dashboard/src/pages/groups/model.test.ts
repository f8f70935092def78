import { expect, it } from "vitest";
import { choice, plain, settingsOf, trouble, type Group } from "./model";

const GROUP = { status: "CONSUMER_GROUP_STATUS_ACTIVE", lag: 0, member_count: 1, dead_letters: 0 } as unknown as Group;

it("names what is worth a look, and nothing otherwise", () => {
  expect(trouble(GROUP)).toBe("");
  expect(trouble({ ...GROUP, lag: 1200, member_count: 0, dead_letters: 2 })).toBe("1,200 behind and no member, 2 dead letters");
  expect(trouble({ ...GROUP, status: "CONSUMER_GROUP_STATUS_PAUSED" as never })).toBe("paused: nothing is handed out");
});

it("shortens the values of enumerations", () => {
  expect([plain("ACK_MODE_MANUAL"), plain("auto"), plain(null)]).toEqual(["manual", "auto", ""]);
});

it("shows how a group works", () => {
  const group = { ...GROUP, pattern: "topic:mail.*", ack_mode: "ACK_MODE_MANUAL", ack_wait_ms: 30_000, backpressure: "BACKPRESSURE_MODE_DROP", max_redeliveries: 3, redeliver_delay_ms: 5000 } as unknown as Group;
  expect(settingsOf(group)).toContainEqual({ name: "Acknowledged", text: "by members, within 30 s" });
  expect(settingsOf(group)).toContainEqual({ name: "Redelivered", text: "3 times, 5 s apart" });
});

it("takes all dead letters only when none is chosen", () => {
  expect(choice(new Set())).toEqual({ all: true });
  expect(choice(new Set(["msg_1"]))).toEqual({ event_ids: ["msg_1"] });
});
