"""Signatures of webhooks: each provider's vector, altered, stale and unsigned requests, and odd descriptors."""

import contextlib
import hashlib
import hmac
from base64 import b64encode
from typing import Any
from urllib.parse import urlencode

import pytest

from ironflow.base.signature import SignatureError, SignatureExpired, SignatureMissing
from ironflow.base.webhook.descriptor import (
    Descriptor,
    InvalidDescriptor,
    check_age,
    check_descriptor,
    matching_key,
    presented,
)
from ironflow.base.webhook.presets import PRESETS, dedup_id, event_name, preset_named, sign_headers
from ironflow.base.webhook.request import Headers, WebhookRequest
from tests.webhooks.vectors import FORM, GITHUB, SLACK, STANDARD, TWILIO, VECTORS, Vector

EACH = pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.preset)


def request_of(vector: Vector) -> WebhookRequest:
    return WebhookRequest(vector.body, Headers(vector.headers), url=vector.url)


def key_of(vector: Vector, *secrets: str, **changed: Any) -> int | None:
    descriptor = PRESETS[vector.preset].descriptor
    request = request_of(vector._replace(**changed))
    return matching_key(descriptor, presented(descriptor, request), secrets or (vector.secret,))


def test_every_preset_has_a_vector():
    assert {vector.preset for vector in VECTORS} == set(PRESETS)


@EACH
def test_a_vector_of_each_provider_is_verified(vector: Vector):
    descriptor = PRESETS[vector.preset].descriptor
    check_descriptor(descriptor)

    assert key_of(vector) == 0
    check_age(descriptor, presented(descriptor, request_of(vector)).timestamp, vector.at_s * 1000)


@EACH
def test_an_altered_body_or_another_secret_is_refused(vector: Vector):
    assert key_of(vector, body=vector.body + b"&x=1") is None
    assert key_of(vector, "another") is None
    assert key_of(vector, "another", vector.secret) == 1


@EACH
def test_an_unsigned_request_is_refused(vector: Vector):
    (header,) = [name for name in vector.headers if "ignature" in name or "Hmac" in name]
    bare = {name: value for name, value in vector.headers.items() if name != header}
    with pytest.raises(SignatureMissing):
        key_of(vector, headers=bare)
    for rubbish in ("", "rubbish", "v1", "=", ",", "v1=", "v1,", "sha256=", "t=1", "é", "v1=é,t=é", "v0=" + "a" * 64):
        with contextlib.suppress(SignatureError):
            assert key_of(vector, headers={**vector.headers, header: rubbish}) is None, rubbish


@pytest.mark.parametrize("vector", [each for each in VECTORS if each.at_s], ids=lambda vector: vector.preset)
def test_a_stale_request_and_one_from_the_future_are_refused(vector: Vector):
    descriptor = PRESETS[vector.preset].descriptor
    timestamp = presented(descriptor, request_of(vector)).timestamp
    for age_s in (-300, 0, 300):
        check_age(descriptor, timestamp, (vector.at_s + age_s) * 1000)
    for age_s in (-301, 301):
        with pytest.raises(SignatureExpired):
            check_age(descriptor, timestamp, (vector.at_s + age_s) * 1000)


def test_another_time_than_the_signed_one_is_refused():
    for vector, header in ((SLACK, "X-Slack-Request-Timestamp"), (STANDARD, "svix-timestamp")):
        assert key_of(vector, headers={**vector.headers, header: str(vector.at_s + 1)}) is None


def test_a_time_that_is_no_number_is_refused():
    for text in ("", "now", "-5", "1e9", "\uff11", "9" * 16):
        with pytest.raises(SignatureError):
            check_age(PRESETS["stripe"].descriptor, text, 0)


def test_one_of_several_signatures_is_enough():
    other, genuine = "v1,Yml0YmFkc2lnbmF0dXJl", STANDARD.headers["svix-signature"]
    for header in (f"{other} {genuine}", f"{genuine} {other}"):
        assert key_of(STANDARD, headers={**STANDARD.headers, "svix-signature": header}) == 0


def test_the_names_of_headers_are_those_of_svix_or_of_the_standard():
    renamed = {name.replace("svix", "webhook"): value for name, value in STANDARD.headers.items()}
    assert key_of(STANDARD, headers=renamed) == 0


def test_twilio_signs_the_url_with_or_without_its_port():
    assert key_of(TWILIO, url=TWILIO.url.replace(".com", ".com:443")) == 0
    assert key_of(TWILIO, url=TWILIO.url.replace("foo=1", "foo=2")) is None
    with pytest.raises(SignatureError, match="public_url"):
        key_of(TWILIO, url="")


def test_a_twilio_body_that_is_no_form_is_covered_by_its_hash_in_the_url():
    body = b'{"EventType": "onMessageAdded"}'
    url = f"https://x.example/hook?bodySHA256={hashlib.sha256(body).hexdigest()}"
    made = b64encode(hmac.digest(b"12345", url.encode(), "sha1")).decode()
    vector = Vector("twilio", "12345", body, {"Content-Type": "application/json", "X-Twilio-Signature": made}, url=url)

    assert key_of(vector) == 0
    emptied: dict[str, Any] = {"headers": {**vector.headers, "Content-Type": FORM}, "body": b""}
    for changed in ({"body": b"{}"}, emptied):
        with pytest.raises(SignatureError):
            key_of(vector, **changed)
    # Without the hash nothing of the body would be signed.
    made = b64encode(hmac.digest(b"12345", b"https://x.example/hook", "sha1")).decode()
    with pytest.raises(SignatureError, match="bodySHA256"):
        key_of(vector, url="https://x.example/hook", headers={**vector.headers, "X-Twilio-Signature": made})


def test_a_repeated_twilio_field_is_signed_once_for_each_value():
    body = urlencode([("b", "2"), ("a", "1"), ("b", "1"), ("b", "2")]).encode()
    made = b64encode(hmac.digest(b"k", b"https://x.example/a1b1b2", "sha1")).decode()
    headers = {"Content-Type": FORM, "X-Twilio-Signature": made}
    assert key_of(Vector("twilio", "k", body, headers, url="https://x.example/")) == 0


def test_a_plain_header_may_name_the_hash():
    descriptor = Descriptor(signature_header="X-Signature")
    made = hmac.digest(b"k", b"body", "sha256").hex()
    for value in (made, made.upper(), f"sha256={made}"):
        found = presented(descriptor, WebhookRequest(b"body", Headers({"x-signature": value})))
        assert matching_key(descriptor, found, ["k"]) == 0


def test_sha1_and_sha512_are_algorithms():
    for algorithm in ("sha1", "sha512"):
        descriptor = Descriptor(signature_header="X", algorithm=f"hmac-{algorithm}")
        made = hmac.digest(b"k", b"body", algorithm).hex()
        found = presented(descriptor, WebhookRequest(b"body", Headers({"x": made})))
        assert matching_key(descriptor, found, ["k"]) == 0


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"algorithm": "md5"}, "algorithm"),
        ({"encoding": "rot13"}, "encoding"),
        ({"signing_template": "{ts}", "timestamp_header": "T"}, "body is not signed"),
        ({"tolerance_seconds": 60}, "does not sign the time"),
        ({"tolerance_seconds": -2}, "any age"),
        ({"signing_template": "{ts}.{body}"}, "timestamp_header"),
        ({"signature_key": "v1"}, "kv_delimiter"),
    ],
)
def test_a_descriptor_that_protects_less_than_it_seems_to_is_refused(fields: dict[str, Any], reason: str):
    with pytest.raises(InvalidDescriptor, match=reason):
        check_descriptor(Descriptor(signature_header="X", **fields))


def test_a_tolerance_may_be_of_any_age():
    descriptor = Descriptor(signing_template="{ts}.{body}", timestamp_header="T", tolerance_seconds=-1)
    check_descriptor(descriptor)
    check_age(descriptor, "1", 10**13)


@EACH
def test_what_is_signed_as_the_provider_does_is_verified(vector: Vector):
    descriptor = PRESETS[vector.preset].descriptor
    form = vector.headers.get("Content-Type") == FORM
    url = "https://x.example/hook" if vector.preset == "twilio" else ""
    headers = sign_headers(descriptor, vector.body, vector.secret, 5_000, url=url, form=form)
    found = presented(descriptor, WebhookRequest(vector.body, Headers(headers), url=url))
    assert matching_key(descriptor, found, [vector.secret]) == 0
    check_age(descriptor, found.timestamp, 5_000)


def test_names_and_ids_come_from_the_body_or_a_header():
    def both(preset: str, payload: object, **headers: str) -> tuple[str, str]:
        named = Headers({name.replace("_", "-"): value for name, value in headers.items()})
        descriptor = PRESETS[preset].descriptor
        return event_name(descriptor, preset, payload, named), dedup_id(descriptor, payload, named)

    slack = {"type": "event_callback", "event": {"type": "app_mention"}, "event_id": "Ev1"}
    assert both("github", {}, X_GitHub_Event="push", X_GitHub_Delivery="72d3") == ("github.push", "72d3")
    assert both("stripe", {"type": "charge.succeeded", "id": "evt_1"}) == ("stripe.charge.succeeded", "evt_1")
    assert both("slack", slack) == ("slack.app_mention", "Ev1")
    assert both("slack", {"command": "/deploy", "trigger_id": "1.2"}) == ("slack.deploy", "1.2")
    shopify = both("shopify", {}, X_Shopify_Topic="orders/create", X_Shopify_Webhook_Id="w")
    assert shopify == ("shopify.orders.create", "w")
    assert both("twilio", {"MessageStatus": "sent"}, I_Twilio_Idempotency_Token="t") == ("twilio.sent", "t")
    assert both("standard", {"type": "invoice.paid"}, webhook_id="msg_1") == ("standard.invoice.paid", "msg_1")


def test_a_name_has_only_what_event_names_have():
    none = Headers()
    assert event_name(Descriptor(), "acme", {"type": "a b*c>\n"}, none) == "acme.a_b_c_"
    assert event_name(Descriptor(), "acme", {"type": {"no": "text"}}, none) == "acme"
    assert event_name(Descriptor(), "acme..eu", {"type": "//orders/../paid."}, none) == "acme.eu.orders.paid"
    assert event_name(Descriptor(), "", {"type": "x"}, none) == "x"
    assert event_name(Descriptor(), "", [], none) == ""
    nested = Descriptor(event_name_path="$.data.items.1.kind, body.kind", dedup_id_path="n")
    assert event_name(nested, "", {"data": {"items": [0, {"kind": "second"}]}}, none) == "second"
    assert event_name(nested, "", {"kind": "first"}, none) == "first"
    assert dedup_id(nested, {"n": 820982911946154508}, none) == "820982911946154508"
    assert dedup_id(Descriptor(), {"event_id": "e"}, none) == "e"
    assert dedup_id(Descriptor(), {"id": True}, none) == ""


def test_a_preset_has_other_names_and_an_unknown_one_is_refused():
    assert preset_named("Svix").name == "standard"
    with pytest.raises(InvalidDescriptor, match="github, stripe, slack"):
        preset_named("gitlub")


def test_a_form_is_an_object_and_one_of_a_payload_alone_is_that_payload():
    form = Headers({"Content-Type": f"{FORM}; charset=utf-8"})
    assert WebhookRequest(b"a=1&b=2&b=3&c=", form).json() == {"a": "1", "b": ["2", "3"], "c": ""}
    assert WebhookRequest(b"payload=%7B%22n%22%3A1%7D", form).json() == {"n": 1}
    assert bytes(WebhookRequest(b'{"n" : 1.0}', Headers()).payload()) == b'{"n" : 1.0}'


def test_the_bytes_are_signed_not_their_meaning():
    assert key_of(GITHUB, body=b"Hello,  World!") is None
