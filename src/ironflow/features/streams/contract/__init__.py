"""What can be asked of entity streams. Source: protocol/connectrpc.md 5.4, protocol/rest.md 11, connectrpc.json."""

from ironflow.features.streams.contract.appending import *
from ironflow.features.streams.contract.reading import *
