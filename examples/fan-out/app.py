"""Shrinks the 500 photos of an album, twenty photos at a time.

Run it with `ironflow dev app.py`, then upload an album: `ironflow emit album.uploaded --data '{"photos": 500}' --wait`.
"""

import asyncio
from typing import Any

import msgspec

from ironflow import Context, NonRetryableError, Retry, function

AT_ONCE = 20
# Every photo whose number is a multiple of this is unreadable.
BROKEN = 250


class Album(msgspec.Struct):
    """photos: number of photos."""

    photos: int


@function("shrink-album", on="album.uploaded", retry=Retry(max_attempts=3, initial_delay="200ms"))
async def shrink_album(ctx: Context, album: Album) -> dict[str, Any]:
    """One step for each photo: after a crash only the unfinished photos are processed again."""
    photos = await ctx.step.run("list", list_photos, album.photos)
    results = await ctx.step.map(
        "photos",
        photos,
        lambda photo, steps, _: steps.run("shrink", shrink, photo),
        concurrency=AT_ONCE,
        on_error="collect",
    )
    broken = [photo for photo, result in zip(photos, results, strict=True) if isinstance(result, Exception)]
    saved = sum(result for result in results if isinstance(result, int))
    return {"shrunk": len(photos) - len(broken), "broken": broken, "bytes_saved": saved, "most_at_once": progress.most}


def list_photos(count: int) -> list[str]:
    return [f"photo-{number:04}.jpg" for number in range(1, count + 1)]


class Unreadable(NonRetryableError):
    """The file is not a photo. A retry would not help."""

    code = "UNREADABLE"


async def shrink(photo: str) -> int:
    """Bytes saved. Raises Unreadable."""
    with progress:
        await asyncio.sleep(0.005)
        number = int(photo.removeprefix("photo-").removesuffix(".jpg"))
        if number % BROKEN == 0:
            raise Unreadable(f"{photo} is no photo")
        return 100_000 + number


class Progress:
    """Counts the photos in progress, and their maximum at a time."""

    def __init__(self) -> None:
        self.now = self.most = 0

    def __enter__(self) -> None:
        self.now += 1
        self.most = max(self.most, self.now)

    def __exit__(self, *_: object) -> None:
        self.now -= 1


progress = Progress()
functions = [shrink_album]
