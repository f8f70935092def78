import { expect, it } from "vitest";
import { choices } from "./palette";

const PAGES = [{ title: "Overview", noun: "" }, { title: "Runs", noun: "runs" }, { title: "Workers", noun: "workers" }];

it("offers every page while nothing is typed", () => {
  expect(choices("", PAGES).map((choice) => choice.to)).toEqual(["/", "/runs", "/workers"]);
});

it("opens what an id names", () => {
  expect(choices(" run_01J ", PAGES)[0]).toEqual({ title: "Run run_01J", hint: "open", to: "/runs/run_01J" });
});

it("searches for what is neither page nor id", () => {
  expect(choices("order-1", PAGES).map((choice) => choice.to)).toEqual(["/runs?filter=order-1", "/functions/order-1", "/streams/order-1"]);
});
