"""Debian's Chromium, driven by Playwright, for the tests and screenshots of the dashboard."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, sync_playwright

# --no-sandbox: Chromium refuses to run as root with its sandbox, and the pages are our own.
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--force-color-profile=srgb"]
WIDE: Any = {"width": 1280, "height": 860}
NARROW: Any = {"width": 390, "height": 844}


@contextmanager
def chromium_browser(path: str | None = None) -> Iterator[Browser]:
    """A browser without a window. path: of its executable; None takes the one on the path."""
    executable = path or shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()
