// "Run…" and "Replay a run…" above each function of a Python file.

import * as vscode from "vscode";
import { findFunctions } from "./functions";

export class Lenses implements vscode.CodeLensProvider {
  provideCodeLenses(document: vscode.TextDocument): vscode.CodeLens[] {
    if (!vscode.workspace.getConfiguration("ironflow", document).get("codeLens", true)) return [];
    return findFunctions(document.getText()).flatMap(({ id, line }) => {
      const range = new vscode.Range(line, 0, line, 0);
      return [
        new vscode.CodeLens(range, { command: "ironflow.run", title: "Run…", arguments: [id, document.uri] }),
        new vscode.CodeLens(range, { command: "ironflow.replay", title: "Replay a run…", arguments: [id, document.uri] }),
      ];
    });
  }
}
