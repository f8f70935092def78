import { expect, it } from "vitest";
import { matching, merged, MESSAGES_MAX } from "./model";

const message = (number: number) => ({ id: `msg_${number}`, data: number, at: "" });

it("shows each message once, newest first", () => {
  expect(merged([message(1)], [message(1), message(2), message(3)]).map((each) => each.data)).toEqual([3, 2, 1]);
});

it("keeps a bounded number", () => {
  expect(merged([], Array.from({ length: MESSAGES_MAX + 5 }, (_, index) => message(index)))).toHaveLength(MESSAGES_MAX);
});

it("finds topics by a part of their name", () => {
  expect(matching([{ name: "mail.orders" }, { name: "stock" }], " Mail ")).toEqual([{ name: "mail.orders" }]);
});
