import { expect, it } from "vitest";
import { changeText, discoverCommand, proposed, type Served } from "./discovering";

const served = (id: string, change: string, version = 0) => ({ id, change, version }) as Served;
const ALL = [served("a", "created"), served("b", "updated", 2), served("c", "same", 5), served("d", "refused")];

it("proposes what is new or changed", () => {
  expect(proposed(ALL)).toEqual(["a", "b"]);
});

it("quotes what a shell would run", () => {
  expect(discoverCommand("https://a.example/x")).toBe("ironflow register https://a.example/x --dry-run");
  expect(discoverCommand("https://a.example/$(reboot)?a&b")).toBe("ironflow register 'https://a.example/$(reboot)?a&b' --dry-run");
});

it("names what registering does", () => {
  expect(ALL.map(changeText)).toEqual(["new", "changes version 2", "registered as it is, version 5", "cannot be registered"]);
});
