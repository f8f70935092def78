import { expect, it } from "vitest";
import { inexact, note, ordered, rebuildLine, type RebuildShown, type Status } from "./model";

const status = (name: string, state: string, lag = 0, error = "") => ({ name, status: state, lag, error_message: error }) as Status;

it("puts what is in trouble first", () => {
  const all = [status("b", "active"), status("a", "active", 5), status("c", "error"), status("d", "paused")];
  expect(ordered(all).map((each) => each.name)).toEqual(["c", "d", "a", "b"]);
});

it("says where a projection is", () => {
  expect(note(status("a", "active"), 0)).toBe("");
  expect(note(status("a", "active", 1200), 0)).toBe("1,200 events behind");
  expect(note(status("a", "error", 3, "no currency"), 0)).toBe("no currency");
  expect(note({ ...status("a", "rebuilding"), rebuild_start_cursor: 0, rebuild_target_seq: 50, rebuild_started_at: "1970-01-01T00:00:00Z" }, 4000)).toBe("new version up to 50, for 4 s");
});

it("shows the progress of a rebuild and its end", () => {
  const job = { status: "rebuilding", progress: 0.255, events_processed: 51, total_events: 200, estimated_remaining: "3s" } as RebuildShown;
  expect(rebuildLine(job)).toBe("25 %, 51 of 200 events, 3s left");
  expect(rebuildLine({ ...job, status: "dry_run_ok", error: "" })).toBe("dry run ok, 51 of 200 events");
});

it("has a sentence for a state that is not that of the moment", () => {
  const asOf = { moment: "2026-01-02T00:00:00Z", exact: false, last_event_seq: 7, last_event_time: "2026-01-01T00:00:00Z", missing: "its states were \u202edropped" };
  expect(inexact(asOf, "utc")).toBe("Not the state of that time: the last one kept before it of 2026-01-01T00:00:00.000Z, position 7; its states were ⟨U+202E⟩dropped.");
  expect([inexact({ ...asOf, exact: true }, "utc"), inexact(undefined, "utc")]).toEqual(["", ""]);
});
