"""The name of a step, read from its id."""


def step_name(step_id: str, run_id: str) -> str:
    r"""The name within a step id: the part before the index, with `\:` and `\\` undone.

    Source: protocol/step-semantics.md 1, "Name derivation for yields".
    """
    parts = [""]
    characters = iter(step_id.removeprefix(f"{run_id}:"))
    for character in characters:
        if character == "\\":
            parts[-1] += next(characters, "")
        elif character == ":":
            parts.append("")
        else:
            parts[-1] += character
    return parts[-2] if len(parts) > 1 else parts[0]
