"""Writes the OpenAPI document to standard output: `python -m ironflow.server.openapi`.

It is what `GET /api/v1/openapi.json` answers; the dashboard's types are generated from it.
"""

import sys

import msgspec

from ironflow.server.reference import operations
from ironflow.transports.openapi import document


def main() -> None:
    """The operations of all contracts, without a server or a database."""
    text = msgspec.json.format(msgspec.json.encode(document(operations())), indent=1)
    sys.stdout.buffer.write(text + b"\n")


if __name__ == "__main__":
    main()
