"""What other features do with the lines of runs inside their own transactions."""

from collections.abc import Sequence

from ironflow.base.time import Millis
from ironflow.features.log_lines import rules, store
from ironflow.features.log_lines.contract import ReportedLine
from ironflow.features.log_lines.rules import LEVELS as LEVELS
from ironflow.features.log_lines.rules import Keeping as Keeping
from ironflow.features.log_lines.rules import LineRow as LineRow
from ironflow.features.log_lines.rules import Place as Place
from ironflow.features.log_lines.rules import Writer as Writer
from ironflow.storage.port import Tx

after = store.after
drop = store.drop
drop_step = store.drop_step


def keep(tx: Tx, reports: Sequence[tuple[Writer, Sequence[ReportedLine]]], keeping: Keeping, now: Millis) -> None:
    """Keeps the lines of reports. Those of one execution may come several times: each place is kept once."""
    found: dict[str, list[rules.LineRow]] = {}
    for writer, lines in reports:
        kept = rules.rows(lines, writer, keeping, now)
        if kept:
            found.setdefault(writer.run_id, []).extend(kept)
    if not found:
        return
    counts = store.counts(tx, list(found))
    store.add(
        tx, [row for run_id, rows in found.items() for row in rules.decide_kept(rows, counts.get(run_id, 0), keeping)]
    )
    for run_id in found:
        tx.notify("run_logs", run_id)
