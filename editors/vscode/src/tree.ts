// The tree of functions and their latest runs.

import * as vscode from "vscode";
import { Failure, FUNCTIONS_MAX, listFunctions, listRuns, RUNS_MAX } from "./rest";
import { failureRow, functionRows, isUnderWay, runRows, type Row } from "./rows";
import type { Settings } from "./settings";

const FUNCTIONS = 200;
const RUNS = 20;
const AGAIN_MS = 5_000;

export class Tree implements vscode.TreeDataProvider<Row>, vscode.Disposable {
  private readonly changed = new vscode.EventEmitter<Row | undefined>();
  readonly onDidChangeTreeData = this.changed.event;
  /** How many times "Show more" was chosen, by function; of the functions under "". */
  private readonly pages = new Map<string, number>();
  private readonly view: vscode.TreeView<Row>;
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly settings: Settings) {
    this.view = vscode.window.createTreeView("ironflow.functions", { treeDataProvider: this });
    this.view.onDidChangeVisibility(({ visible }) => visible && this.refresh());
  }

  refresh(): void {
    this.changed.fire(undefined);
  }

  showMore(row: Row): void {
    this.pages.set(row.id, this.page(row.id) + 1);
    this.refresh();
  }

  async getChildren(parent?: Row): Promise<Row[]> {
    try {
      return parent ? await this.runs(parent.id) : await this.functions();
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      return [failureRow(error.message)];
    }
  }

  getTreeItem(row: Row): vscode.TreeItem {
    const { Collapsed, None } = vscode.TreeItemCollapsibleState;
    const item = new vscode.TreeItem(row.label, row.kind === "function" ? Collapsed : None);
    if (row.kind !== "failure") item.id = `${row.kind} ${row.id}`;
    item.description = row.description;
    item.tooltip = row.tooltip;
    item.contextValue = row.kind;
    item.iconPath = new vscode.ThemeIcon(row.icon, row.colour ? new vscode.ThemeColor(row.colour) : undefined);
    if (row.kind === "run") item.command = { command: "ironflow.openRun", title: "Open Run in Dashboard", arguments: [row] };
    if (row.kind === "more") item.command = { command: "ironflow.showMore", title: "Show More", arguments: [row] };
    return item;
  }

  dispose(): void {
    clearTimeout(this.timer);
    this.view.dispose();
    this.changed.dispose();
  }

  private async functions(): Promise<Row[]> {
    const limit = Math.min(FUNCTIONS * this.page(""), FUNCTIONS_MAX);
    return functionRows(await listFunctions(await this.settings.server(), limit), FUNCTIONS_MAX);
  }

  private async runs(functionId: string): Promise<Row[]> {
    const limit = Math.min(RUNS * this.page(functionId), RUNS_MAX);
    const listed = await listRuns(await this.settings.server(), limit, functionId);
    if (listed.items.some(isUnderWay)) this.refreshLater();
    return runRows(functionId, listed, RUNS_MAX, Date.now());
  }

  /** Runs under way change by themselves; a hidden tree is not refreshed. */
  private refreshLater(): void {
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      if (this.view.visible) this.refresh();
    }, AGAIN_MS);
  }

  private page(id: string): number {
    return this.pages.get(id) ?? 1;
  }
}
