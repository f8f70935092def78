// Debugger type `ironflow`: completes configurations and starts `ironflow debug-adapter`.

import * as vscode from "vscode";
import { completed, variablesOf } from "./commands";
import type { Settings } from "./settings";

export class Configurations implements vscode.DebugConfigurationProvider {
  constructor(private readonly settings: Settings) {}

  async resolveDebugConfiguration(_: unknown, given: vscode.DebugConfiguration): Promise<vscode.DebugConfiguration> {
    return completed(given, await this.settings.server());
  }
}

export class Adapters implements vscode.DebugAdapterDescriptorFactory {
  constructor(private readonly settings: Settings) {}

  async createDebugAdapterDescriptor({ configuration, workspaceFolder }: vscode.DebugSession): Promise<vscode.DebugAdapterDescriptor> {
    const { server: url, environment } = configuration as { server?: string; environment?: string };
    const server = await this.settings.server(url, environment);
    const [program, ...before] = this.settings.program(workspaceFolder);
    return new vscode.DebugAdapterExecutable(program, [...before, "debug-adapter"], {
      env: variablesOf(server), ...(workspaceFolder ? { cwd: workspaceFolder.uri.fsPath } : {}),
    });
  }
}
