// The editor of SQL and JSON; it is big, so it is loaded when it is first needed.

import { autocompletion, closeBrackets, completionKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { json } from "@codemirror/lang-json";
import { sql, SQLite } from "@codemirror/lang-sql";
import { HighlightStyle, syntaxHighlighting } from "@codemirror/language";
import { EditorState } from "@codemirror/state";
import { drawSelection, EditorView, keymap, placeholder } from "@codemirror/view";
import { tags } from "@lezer/highlight";

const COLOURS = HighlightStyle.define([
  { tag: tags.keyword, color: "var(--accent)" },
  { tag: [tags.string, tags.special(tags.string)], color: "var(--good)" },
  { tag: [tags.number, tags.bool, tags.null], color: "var(--rest)" },
  { tag: tags.propertyName, color: "var(--accent)" },
  { tag: tags.comment, color: "var(--muted)" },
]);
const LOOK = EditorView.theme({
  "&": { border: "1px solid var(--line)", borderRadius: "var(--radius)", backgroundColor: "var(--page)", color: "var(--ink)" },
  "&.cm-focused": { outline: "2px solid var(--accent)" },
  ".cm-content": { fontFamily: "var(--mono)", fontSize: "var(--text)", minHeight: "120px", caretColor: "var(--ink)" },
  ".cm-cursor": { borderLeftColor: "var(--ink)" },
  "&.cm-focused .cm-selectionBackground, .cm-selectionBackground": { backgroundColor: "var(--selected)" },
  ".cm-tooltip": { backgroundColor: "var(--float)", border: "1px solid var(--line)", color: "var(--ink)" },
  ".cm-tooltip-autocomplete ul li[aria-selected]": { backgroundColor: "var(--selected)", color: "var(--ink)" },
  ".cm-placeholder": { color: "var(--muted)" },
});

export interface Made {
  set: (text: string) => void;
  destroy: () => void;
}

export interface Wanted {
  text: string;
  mode: "sql" | "json";
  label: string;
  /** Columns by table, to complete. */
  schema?: Record<string, string[]> | undefined;
  changed: (text: string) => void;
  /** What Ctrl-Enter does. */
  run?: (() => void) | undefined;
}

/** Puts an editor into `host`. Its styles stay in a shadow root: the Content-Security-Policy permits no style elements. */
export function editor(host: HTMLElement, { text, mode, label, schema, changed, run }: Wanted): Made {
  const root = host.shadowRoot ?? host.attachShadow({ mode: "open" });
  const view = new EditorView({
    root,
    parent: root,
    state: EditorState.create({
      doc: text,
      extensions: [
        history(), drawSelection(), closeBrackets(), autocompletion(), EditorView.lineWrapping, LOOK, syntaxHighlighting(COLOURS),
        mode === "json" ? json() : [sql({ dialect: SQLite, ...(schema ? { schema } : {}) }), placeholder("SELECT …")], EditorView.contentAttributes.of({ "aria-label": label }),
        keymap.of([{ key: "Mod-Enter", run: () => (run?.(), run !== undefined) }, ...completionKeymap, ...historyKeymap, ...defaultKeymap]),
        EditorView.updateListener.of((update) => {
          if (update.docChanged) changed(update.state.doc.toString());
        }),
      ],
    }),
  });
  return {
    set: (to) => {
      if (to !== view.state.doc.toString()) view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: to } });
    },
    destroy: () => view.destroy(),
  };
}
