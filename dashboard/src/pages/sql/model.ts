// SQL: an answer as a file, and the names that the editor completes. Pure.

import type { Schemas } from "../../api/client";
import { count } from "../../format";

export type Answer = Schemas["SqlAnswer"];
export type Table = Schemas["SqlTable"];

/** What the page asks when nothing was asked yet. */
export const FIRST = "SELECT name, count(*) AS events, max(timestamp) AS latest\nFROM events\nGROUP BY name\nORDER BY events DESC\nLIMIT 20";

function cell(value: unknown): string {
  const text = value === null || value === undefined ? "" : typeof value === "string" ? value : JSON.stringify(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** RFC 4180: a header, then a line for each row. NULL is empty. */
export function csv(columns: string[], rows: unknown[][]): string {
  return [columns, ...rows].map((row) => row.map(cell).join(",") + "\r\n").join("");
}

/** A list of objects, one a row. */
export function json(columns: string[], rows: unknown[][]): string {
  return JSON.stringify(rows.map((row) => Object.fromEntries(columns.map((column, index) => [column, row[index]]))), null, 2);
}

/** Columns by table, as the editor completes them. */
export function names(tables: Table[]): Record<string, string[]> {
  return Object.fromEntries(tables.map((table) => [table.name, table.columns.map((column) => column.name)]));
}

/** How many rows there are, such as `1,000 rows, and more that max_rows leaves out`. */
export function summary(answer: Answer, ms: number): string {
  return `${count(answer.rows.length)} ${answer.rows.length === 1 ? "row" : "rows"}${answer.truncated ? ", and more that are left out: add a LIMIT, or narrow the query" : ""}, ${ms} ms`;
}
