// Commands of the CLI: which program, which arguments, which environment variables; and configurations of its debug adapter.

import type { Server } from "./rest";

/** Where a virtual environment of the folder has the program. */
export function venvProgram(platform: string): string[] {
  return platform === "win32" ? [".venv", "Scripts", "ironflow.exe"] : [".venv", "bin", "ironflow"];
}

/** configured: the setting. venv: the program of the folder's virtual environment, empty when there is none. */
export function programOf(configured: string[], venv: string, folder: string): [string, ...string[]] {
  const [program, ...rest] = configured.map((part) => part.replaceAll("${workspaceFolder}", folder));
  return program ? [program, ...rest] : [venv || "ironflow"];
}

/** The key is passed as a variable: arguments are visible to other users of the machine. */
export function variablesOf({ url, apiKey, environment }: Server): Record<string, string> {
  return {
    IRONFLOW_SERVER_URL: url,
    ...(apiKey ? { IRONFLOW_API_KEY: apiKey } : {}),
    ...(environment ? { IRONFLOW_ENV: environment } : {}),
  };
}

export function replayArguments(runId: string, file: string): string[] {
  return ["replay", runId, file];
}

export function debugConfiguration(runId: string) {
  return { type: "ironflow", request: "launch", name: runId, run: runId, at: "start" };
}

/** Completes a configuration: one that names nothing, as F5 without launch.json makes, asks for a run. */
export function completed<Given extends { type?: string; request?: string; name?: string; server?: string; environment?: string }>(
  given: Given, server: Pick<Server, "url" | "environment">,
) {
  const whole = given.type || given.request ? given : { ...given, ...debugConfiguration("${command:pickRun}"), name: "Ironflow run" };
  const environment = whole.environment ?? server.environment;
  return { ...whole, server: whole.server ?? server.url, ...(environment ? { environment } : {}) };
}

/** What is wrong with a text as JSON; undefined when it is JSON. */
export function jsonFault(text: string): string | undefined {
  try {
    JSON.parse(text);
    return undefined;
  } catch (error) {
    return `This is not JSON: ${(error as Error).message}`;
  }
}
