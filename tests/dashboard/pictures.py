"""`make pictures`: the pictures of the dashboard in README.md and the guides, made from real runs.

python -m tests.dashboard.pictures FOLDER
"""

import sys
from pathlib import Path

from tests.dashboard.screenshots import Asked, opened_shop

WIDTH = 1280
# The picture, the page of `screenshots.addresses` that it shows with more of its query, and the height that is shown.
PICTURES = [
    ("overview", "overview", "", 860),
    ("errors", "errors", "", 520),
    ("run", "run-failed", "&tab=attempts", 620),
    ("stream", "stream", "", 860),
]


def main(folder: Path) -> None:
    with opened_shop() as shop:
        for picture, name, more, height in PICTURES:
            context = shop.browser.new_context(
                viewport={"width": WIDTH, "height": height}, color_scheme="light", base_url=shop.url
            )
            page = context.new_page()
            Asked(page).visit(shop.pages[name] + more)
            page.screenshot(path=folder / f"{picture}.png")
            context.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
