// Registers what the other modules make.

import * as vscode from "vscode";
import { Actions } from "./actions";
import { Adapters, Configurations } from "./debug";
import { Lenses } from "./lenses";
import { Failure } from "./rest";
import type { Row } from "./rows";
import { Settings } from "./settings";
import { Tree } from "./tree";

export function activate(context: vscode.ExtensionContext): void {
  const settings = new Settings(context.secrets);
  const actions = new Actions(settings);
  const tree = new Tree(settings);

  const commands: Record<string, (...given: never[]) => unknown> = {
    "ironflow.setApiKey": () => settings.setApiKey().then(() => tree.refresh()),
    "ironflow.refresh": () => tree.refresh(),
    "ironflow.showMore": (row: Row) => tree.showMore(row),
    "ironflow.openRun": (row?: Row) => actions.open(row?.id),
    "ironflow.debugRun": (row?: Row) => actions.debug(row?.id),
    "ironflow.copyRunId": (row: Row) => vscode.env.clipboard.writeText(row.id),
    "ironflow.pickRun": () => actions.pickRun(),
    "ironflow.replay": (functionId: string, file: vscode.Uri) => actions.replay(functionId, file),
    // From the tree with a row, from a CodeLens with an id and a file.
    "ironflow.run": async (given: Row | string, file?: vscode.Uri | unknown[]) => {
      if (typeof given === "string") await actions.run(given, vscode.workspace.getWorkspaceFolder(file as vscode.Uri));
      else await actions.run(given.id);
      tree.refresh();
    },
  };

  context.subscriptions.push(
    tree,
    vscode.languages.registerCodeLensProvider({ language: "python", scheme: "file" }, new Lenses()),
    vscode.debug.registerDebugConfigurationProvider("ironflow", new Configurations(settings)),
    vscode.debug.registerDebugAdapterDescriptorFactory("ironflow", new Adapters(settings)),
    vscode.workspace.onDidChangeConfiguration((change) => change.affectsConfiguration("ironflow") && tree.refresh()),
    ...Object.entries(commands).map(([name, action]) => vscode.commands.registerCommand(name, shown(action))),
  );
}

/** A command that shows what the server refused; other errors are shown by the editor. */
function shown(action: (...given: never[]) => unknown): (...given: never[]) => Promise<unknown> {
  return async (...given) => {
    try {
      return await action(...given);
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      void vscode.window.showErrorMessage(error.message);
      return undefined;
    }
  };
}
