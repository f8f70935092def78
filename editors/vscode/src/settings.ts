// The settings, and the API key of each server.

import { existsSync } from "node:fs";
import { join } from "node:path";
import * as vscode from "vscode";
import { programOf, venvProgram } from "./commands";
import type { Server } from "./rest";

export class Settings {
  constructor(private readonly secrets: vscode.SecretStorage) {}

  /** The server with its key. url, environment: instead of those of the settings. */
  async server(url?: string, environment?: string): Promise<Server> {
    const settings = vscode.workspace.getConfiguration("ironflow");
    const address = url ?? settings.get("serverUrl", "");
    const apiKey = (await this.secrets.get(secretOf(address))) ?? "";
    return { url: address, environment: environment ?? settings.get("environment", ""), apiKey };
  }

  /** The program of the CLI with the arguments that come before all others. */
  program(folder?: vscode.WorkspaceFolder): [string, ...string[]] {
    const root = folder?.uri.fsPath ?? "";
    const venv = root ? join(root, ...venvProgram(process.platform)) : "";
    const configured = vscode.workspace.getConfiguration("ironflow", folder).get<string[]>("command", []);
    return programOf(configured, venv && existsSync(venv) ? venv : "", root);
  }

  /** Asks for the key of the present server. An empty one removes it. */
  async setApiKey(): Promise<void> {
    const { url } = await this.server();
    const key = await vscode.window.showInputBox({
      title: `API key of ${url}`, prompt: "Empty removes the stored key.", password: true, ignoreFocusOut: true,
    });
    if (key === undefined) return;
    if (key.trim()) await this.secrets.store(secretOf(url), key.trim());
    else await this.secrets.delete(secretOf(url));
  }
}

// A key is sent to the server that it was given for, and to no other that a workspace's settings name.
function secretOf(url: string): string {
  return `ironflow.apiKey ${url.trim().replace(/\/+$/, "").toLowerCase()}`;
}
