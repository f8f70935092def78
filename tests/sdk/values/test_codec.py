"""A codec's envelopes: what is encoded, found again, and left alone."""

from typing import Any

import msgspec
import pytest

from ironflow import Codec, Concurrency, Context, Debounce, Throttle, entity, function
from ironflow.base.errors import SerializationError
from ironflow.features.functions.contract import InvalidFunction
from ironflow.features.projections.contract import InvalidProjection
from ironflow.projection import create_projection
from ironflow.sdk.values.codec import CannotDecode, CannotEncode, CodecHidesData, Raw, check_reads_no_data
from ironflow.serve import serve
from ironflow.worker import Worker


def flipped(text: bytes) -> bytes:
    return bytes(each ^ 0x5A for each in text)


CODEC = Codec(flipped, flipped)
VALUE = {"b": [1, None, 2.5], "a": 12345678901234567890, "text": "é"}


def refuses(text: bytes) -> bytes:
    raise ValueError("no key")


def test_a_payload_is_one_envelope_and_comes_back():
    payload = Raw(msgspec.json.encode(VALUE))
    envelope = CODEC.encoded(payload)

    assert list(msgspec.json.decode(envelope)) == ["$encoded"]
    assert b"text" not in bytes(envelope)
    assert msgspec.json.decode(CODEC.decoded(envelope)) == VALUE


def test_envelopes_are_found_wherever_they_are_and_everything_else_stays():
    inner = msgspec.json.decode(CODEC.encoded(Raw(b"[1]")))
    assert CODEC.decoded_value({"data": inner, "list": [inner, "x"]}) == {"data": [1], "list": [[1], "x"]}
    text = b'{ "plain" : 1.0 }'
    assert CODEC.decoded_text(text) is text
    assert CODEC.decoded_text(b'not json "$encoded"') == b'not json "$encoded"'


@pytest.mark.parametrize("value", [{"$encoded": 1}, {"$encoded": "no base64!"}, {"$encoded": "eA==", "more": 1}])
def test_values_that_only_look_like_envelopes_stay(value: Any):
    assert CODEC.decoded_value(value) == value


def test_a_codec_that_fails_is_named():
    with pytest.raises(CannotEncode, match="no key"):
        Codec(refuses, flipped).encoded(Raw(b"1"))
    with pytest.raises(SerializationError, match="'str'"):
        Codec(lambda text: text.decode(), flipped).encoded(Raw(b"1"))  # pyright: ignore[reportArgumentType]
    envelope = CODEC.encoded(Raw(b"1"))
    with pytest.raises(CannotDecode, match="no key"):
        Codec(flipped, refuses).decoded(envelope)
    # Another key makes something that is no JSON.
    with pytest.raises(CannotDecode):
        Codec(flipped, lambda text: text).decoded(envelope)
    assert Codec(flipped, refuses, tolerant=True).decoded(envelope) == envelope


@pytest.mark.parametrize("text", ["orderId", "data.orderId", "data.total > 1", "event.data.total > 1"])
def test_paths_and_expressions_over_data_are_refused(text: str):
    with pytest.raises(CodecHidesData, match="which the codec hides from the server"):
        check_reads_no_data(text, "the filter")


def test_expressions_over_names_and_metadata_are_not():
    check_reads_no_data("metadata.tenant == 'a'", "the filter")
    check_reads_no_data("", "the filter")


@pytest.mark.parametrize(
    ("options", "setting"),
    [
        ({"actor_key": "customer"}, "actor_key"),
        ({"concurrency": Concurrency(1, key="customer")}, "the key of concurrency"),
        ({"debounce": Debounce("2s", key="customer")}, "the key of debounce"),
        ({"throttle": Throttle(1, "2s", key="customer")}, "the key of throttle"),
        ({"key": "data.customer"}, "key"),
        ({"priority": "data.tier == 'gold' ? 10 : 0"}, "priority"),
        ({"when": "data.total > 100"}, "a trigger"),
    ],
)
def test_functions_whose_settings_read_data_are_refused(options: dict[str, Any], setting: str):
    @function("f", on="e", **options)
    async def handler(ctx):
        pass

    for host in (lambda: Worker([handler], codec=CODEC), lambda: serve([handler], codec=CODEC)):
        with pytest.raises(InvalidFunction, match=f"^{setting} of function 'f' reads data"):
            host()
    assert Worker([handler]).functions


def test_functions_whose_settings_read_metadata_are_not():
    @function("f", on="e", key="metadata.tenant", priority="metadata.weight", when="has(metadata.tenant)")
    async def handler(ctx):
        pass

    assert Worker([handler], codec=CODEC).functions
    assert serve([handler], codec=CODEC)


def test_handlers_of_entities_are_refused():
    payment = entity("payment", key="id", initial={"status": "new"})

    @payment.on("payment.begun")
    async def begin(ctx: Context) -> None:
        pass

    @payment.read
    async def look(ctx: Context) -> None:
        pass

    for handler in (begin, look):
        with pytest.raises(InvalidFunction, match="is of an entity, whose state a codec does not encode"):
            Worker([handler], codec=CODEC)
        with pytest.raises(InvalidFunction, match="is of an entity, whose state a codec does not encode"):
            serve([handler], codec=CODEC)


def test_a_partition_key_is_refused_too():
    totals = create_projection(name="totals", events=["e"], initial_state={}, handler=lambda s, e: s, partition_key="c")
    with pytest.raises(InvalidProjection, match="the partition key of projection 'totals'"):
        Worker(projections=[totals], codec=CODEC)
