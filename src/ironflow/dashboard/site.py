"""Serves the built dashboard: its files, and its one page for every address that a browser opens.

`make dashboard` writes the files to `built/`; a wheel contains them. Without them every page shows how to build.
"""

import gzip
import mimetypes
from pathlib import Path
from typing import NamedTuple

from ironflow.transports.http import Request, Response

BUILT = Path(__file__).parent / "built"

# Scripts and styles only from this server, no inline code, no frames around the page.
# data: is for images in JSON values.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; worker-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
NOT_BUILT = b"""<!doctype html><html lang="en"><meta charset="utf-8"><title>Ironflow</title>
<h1>The dashboard is not built</h1>
<p>The server runs; its API and command line are complete. To build the dashboard, run <code>make dashboard</code>
in the checkout (it uses Node from PyPI when none is installed), then reload this page.</p></html>
"""
# Addresses of programs, also those that do not exist: a typo in a script has to stay a 404 in JSON.
_OF_PROGRAMS = ("/api/", "/ironflow.v1.", "/ws")
# Smaller files are not worth a compressed copy.
_GZIP_BYTES_MIN = 1024


class File(NamedTuple):
    """One file. zipped: the same with gzip, None where it saves nothing."""

    body: bytes
    zipped: bytes | None
    content_type: bytes
    cache_control: bytes


class Site:
    """The files of a build in memory; those of a newer build when a page is opened after it.

    root: the folder of the build; it may be missing.
    """

    def __init__(self, root: Path = BUILT) -> None:
        self._root = root
        self._files: dict[str, File] = {}
        self._built_at = 0

    def takes(self, request: Request) -> bool:
        """Whether a request is for a file, or comes from a browser that opens an address."""
        if request.method not in ("GET", "HEAD"):
            return False
        if request.path in self._files:
            return True
        return "text/html" in request.headers.get("accept", "") and not request.path.startswith(_OF_PROGRAMS)

    async def __call__(self, request: Request) -> Response:
        file = self._files.get(request.path)
        if file is None or request.path == "/index.html":
            self._read_build()
            file = self._files.get(request.path) or self._files.get("/index.html") or _page_not_built()
        headers = [
            (b"content-security-policy", POLICY.encode()),
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"no-referrer"),
            (b"cache-control", file.cache_control),
            (b"vary", b"accept, accept-encoding"),
        ]
        body = file.body
        if file.zipped is not None and "gzip" in request.headers.get("accept-encoding", ""):
            body = file.zipped
            headers.append((b"content-encoding", b"gzip"))
        return Response(200, body, file.content_type, headers)

    def _read_build(self) -> None:
        page = self._root / "index.html"
        built_at = page.stat().st_mtime_ns if page.is_file() else 0
        if built_at == self._built_at:
            return
        self._files = {
            "/" + path.relative_to(self._root).as_posix(): _file(path)
            for path in sorted(self._root.rglob("*"))
            if built_at and path.is_file()
        }
        self._built_at = built_at


def _file(path: Path) -> File:
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    if kind.startswith("text/") or kind.endswith(("javascript", "json")):
        kind += "; charset=utf-8"
    # Names of assets contain a hash of their content; the page and the icon keep their names.
    is_hashed = path.parent.name == "assets"
    cache_control = b"public, max-age=31536000, immutable" if is_hashed else b"no-cache"
    body = path.read_bytes()
    zipped = gzip.compress(body, 9, mtime=0) if len(body) >= _GZIP_BYTES_MIN else None
    return File(body, zipped if zipped and len(zipped) < len(body) else None, kind.encode(), cache_control)


def _page_not_built() -> File:
    return File(NOT_BUILT, None, b"text/html; charset=utf-8", b"no-store")
