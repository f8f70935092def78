"""Which branch a step is in, read from its step id; pure. Source: protocol/step-semantics.md 1."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from ironflow.features.time_travel.contract import StepState

# A part of a step id: text in which `\` escapes the next character.
_PARTS = re.compile(r"((?:[^:\\]|\\.)*)(?::|$)", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_PREFIXES = ("compensate", "publish")

MAIN = ""


def branch_of(step_id: str, run_id: str) -> str:
    """The branch that the step is in, such as `charge all[2]`, inner ones after a slash; MAIN outside of branches.

    MAIN as well for ids of other shapes, which other SDKs may make.
    """
    if not step_id.startswith(f"{run_id}:"):
        return MAIN
    parts = _parts(step_id.removeprefix(f"{run_id}:"))
    if len(parts) % 2 or not all(index.isdigit() for index in parts[1::2]):
        return MAIN
    names, indexes = parts[:-2:2], parts[1:-2:2]
    return "/".join(f"{name}[{index}]" for name, index in zip(names, indexes, strict=True))


def branches(steps: Iterable[StepState], run_id: str) -> list[str]:
    """The branches of these steps in the order of their first steps; MAIN is always the first."""
    return list(dict.fromkeys([MAIN, *(branch_of(step.step_id, run_id) for step in steps)]))


def labels(steps: Sequence[StepState], run_id: str) -> dict[str, str]:
    """A name for each step id, unique in the run: the step's name, after its branch, `#2` for its second use there."""
    found: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for step in steps:
        branch = branch_of(step.step_id, run_id)
        name = f"{branch}/{step.name}" if branch else step.name
        counts[name] += 1
        found[step.step_id] = name if counts[name] == 1 else f"{name}#{counts[name]}"
    return found


def _parts(text: str) -> list[str]:
    """The parts of a step id after the run's, unescaped. An SDK's own prefix stays with the part that follows."""
    found = [_ESCAPED.sub(r"\1", part) for part in _PARTS.findall(text)[:-1]]
    joined: list[str] = []
    for part in found:
        if joined and joined[-1] in _PREFIXES and len(joined) % 2:
            joined[-1] += f":{part}"
        else:
            joined.append(part)
    return joined
