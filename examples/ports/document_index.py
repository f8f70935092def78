"""Documents are split into pages, which are read five at a time (DBOS: a queue of document pages, fan-out and fan-in).

Start it with `ironflow dev document_index.py`, then index:
`ironflow emit documents.added --data '{"batch": "b1", "documents": [{"name": "atlas", "pages": 12}]}' --wait`.
"""

from typing import Any

import msgspec
import outside

from ironflow import Concurrency, Context, NonRetryableError, Retry, function

# One limit for every function that names it, as a queue with a concurrency has: the reader takes five pages at a time.
READER = Concurrency(5, scope="reader")


class Document(msgspec.Struct):
    name: str
    pages: int


class Batch(msgspec.Struct):
    batch: str
    documents: list[Document]


class Unreadable(NonRetryableError):
    """The page cannot be read. Another attempt would not help."""

    code = "UNREADABLE"


@function("index-documents", on="documents.added", key="data.batch")
async def index_documents(ctx: Context, batch: Batch) -> dict[str, Any]:
    """Starts a run for each page, thousands in a report, and waits for all without a worker; it goes on once."""
    pages = [{"document": each.name, "page": number} for each in batch.documents for number in range(1, each.pages + 1)]
    handles = await ctx.step.start_many("index-page", pages)
    found = await ctx.step.join("pages", handles, on_error="collect")
    # A page that cannot be read has its error at its place, and stops no other.
    missing = [page for page, answer in zip(pages, found, strict=True) if isinstance(answer, Exception)]
    return {"letters": sum(each for each in found if isinstance(each, int)), "missing": missing}


@function("index-page", concurrency=READER, step_retry=Retry(max_attempts=4, initial_delay="200ms"))
async def index_page(ctx: Context, page: dict[str, Any]) -> int:
    """The number of letters on a page."""
    return await ctx.step.run("read", read, page["document"], page["page"])


async def read(document: str, page: int) -> int:
    if document == "coffee stain" and page == 1:
        raise Unreadable(f"page {page} of {document!r} cannot be read")
    await outside.call("reader.read", document=document, page=page)
    return 100


functions = [index_documents, index_page]
