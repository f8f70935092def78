import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

const ROOT = join(__dirname, "..", "..");
const manifest = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
const source = (name: string) => readFileSync(join(ROOT, "src", `${name}.ts`), "utf8");

test("every command of the manifest is registered, and no other", () => {
  const registered = [...source("extension").matchAll(/^ {4}"(ironflow\.\w+)":/gm)].map((match) => match[1]);
  const contributed = manifest.contributes.commands.map((each: { command: string }) => each.command);
  assert.deepEqual(registered.sort(), contributed.sort());
});

test("the extension has the version of the program", () => {
  const program = readFileSync(join(ROOT, "..", "..", "src", "ironflow", "base", "version.py"), "utf8");
  assert.equal(manifest.version, /^VERSION = "(.+)"$/m.exec(program)?.[1]);
});

test("menus and variables name commands that there are", () => {
  const contributed = new Set(manifest.contributes.commands.map((each: { command: string }) => each.command));
  const used = Object.values<{ command: string }[]>(manifest.contributes.menus).flat().map(({ command }) => command);
  const variables = Object.values<string>(manifest.contributes.debuggers[0].variables);
  assert.deepEqual([...used, ...variables].filter((name) => !contributed.has(name)), []);
});

test("every setting that is read is in the manifest", () => {
  const read = ["settings", "lenses"].flatMap((name) => [...source(name).matchAll(/\.get(?:<[^>]+>)?\("(\w+)"/g)].map((match) => `ironflow.${match[1]}`));
  assert.deepEqual([...new Set(read)].sort(), Object.keys(manifest.contributes.configuration.properties).sort());
});
