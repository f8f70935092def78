"""A logger that is none of `logging`'s, as programs give them to the SDK."""


class Lines(list[tuple[str, str]]):
    """What was written: level and text."""

    def debug(self, message: str) -> None:
        self.append(("debug", message))

    def info(self, message: str) -> None:
        self.append(("info", message))

    def warning(self, message: str) -> None:
        self.append(("warning", message))

    def error(self, message: str) -> None:
        self.append(("error", message))
