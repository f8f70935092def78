// What the commands do.

import * as vscode from "vscode";
import { debugConfiguration, jsonFault, replayArguments, variablesOf } from "./commands";
import { dashboardAddress, invoke, listRuns } from "./rest";
import { runRow } from "./rows";
import type { Settings } from "./settings";

const PICKED_MAX = 100;

export class Actions {
  /** The data of the last run of each function: most runs repeat it. Kept in memory, since it may be personal. */
  private readonly lastData = new Map<string, string>();

  constructor(private readonly settings: Settings) {}

  async run(functionId: string, folder?: vscode.WorkspaceFolder): Promise<void> {
    const text = await vscode.window.showInputBox({
      title: `Run ${functionId}`, prompt: "Data of the run, as JSON", ignoreFocusOut: true,
      value: this.lastData.get(functionId) ?? "{}", validateInput: jsonFault,
    });
    if (text === undefined) return;
    this.lastData.set(functionId, text);
    const runId = await invoke(await this.settings.server(), functionId, JSON.parse(text));
    void this.offer(runId, folder);
  }

  async replay(functionId: string, file: vscode.Uri): Promise<void> {
    const runId = await this.pickRun(functionId);
    if (!runId) return;
    await vscode.workspace.textDocuments.find((each) => each.uri.toString() === file.toString())?.save();
    const folder = vscode.workspace.getWorkspaceFolder(file);
    const [program, ...before] = this.settings.program(folder);
    // A task, and not text for a shell: the editor quotes the arguments as the user's shell wants them.
    const execution = new vscode.ShellExecution(program, [...before, ...replayArguments(runId, file.fsPath)].map(quoted), {
      env: variablesOf(await this.settings.server()), ...(folder ? { cwd: folder.uri.fsPath } : {}),
    });
    const task = new vscode.Task({ type: "shell" }, folder ?? vscode.TaskScope.Workspace, `replay ${runId}`, "ironflow", execution, []);
    task.presentationOptions = { reveal: vscode.TaskRevealKind.Always, panel: vscode.TaskPanelKind.Dedicated, clear: true };
    await vscode.tasks.executeTask(task);
  }

  async debug(runId: string | undefined, folder = vscode.workspace.workspaceFolders?.[0]): Promise<void> {
    const chosen = runId ?? (await this.pickRun());
    if (chosen) await vscode.debug.startDebugging(folder, debugConfiguration(chosen));
  }

  async open(runId: string | undefined): Promise<void> {
    const chosen = runId ?? (await this.pickRun());
    if (chosen) await vscode.env.openExternal(vscode.Uri.parse(dashboardAddress(await this.settings.server(), chosen)));
  }

  /** A run among the newest ones, or one whose id is typed. functionId: of one function only. */
  async pickRun(functionId = ""): Promise<string | undefined> {
    const { items: runs } = await listRuns(await this.settings.server(), PICKED_MAX, functionId);
    const items = runs.map((run) => {
      const { label, description, icon } = runRow(run, Date.now());
      return { label, description: functionId ? description : `${run.function_id}, ${description}`, iconPath: new vscode.ThemeIcon(icon) };
    });
    const other = { label: "Another run…", description: "by its id", iconPath: new vscode.ThemeIcon("edit") };
    const title = functionId ? `A run of ${functionId}` : "A run";
    const chosen = await vscode.window.showQuickPick([...items, other], { title, matchOnDescription: true });
    if (chosen !== other) return chosen?.label;
    return (await vscode.window.showInputBox({ title, prompt: "Id of the run" }))?.trim() || undefined;
  }

  private async offer(runId: string, folder?: vscode.WorkspaceFolder): Promise<void> {
    const chosen = await vscode.window.showInformationMessage(`Run ${runId} is started.`, "Open in Dashboard", "Debug");
    if (chosen === "Debug") await this.debug(runId, folder);
    if (chosen === "Open in Dashboard") await this.open(runId);
  }
}

function quoted(value: string): vscode.ShellQuotedString {
  return { value, quoting: vscode.ShellQuoting.Strong };
}
