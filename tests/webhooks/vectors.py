"""Requests with the signatures that their providers publish, or that were made by their documented algorithm.

The latter were made with openssl, not with the code that they test:
    printf '%s' "$signed" | openssl dgst -sha256 -hmac "$secret" [-binary | base64]
"""

from typing import NamedTuple

FORM = "application/x-www-form-urlencoded"


class Vector(NamedTuple):
    """at_s: when the request was signed, 0 where no time is signed. published: by the provider itself."""

    preset: str
    secret: str
    body: bytes
    headers: dict[str, str]
    at_s: int = 0
    url: str = ""
    published: bool = False


GITHUB = Vector(
    "github",
    "It's a Secret to Everybody",
    b"Hello, World!",
    {"X-Hub-Signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"},
    published=True,
)
SLACK = Vector(
    "slack",
    "8f742231b10e8888abcd99yyyzzz85a5",
    b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"
    b"&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
    b"&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN"
    b"&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c",
    {
        "Content-Type": FORM,
        "X-Slack-Request-Timestamp": "1531420618",
        "X-Slack-Signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
    },
    at_s=1531420618,
    published=True,
)
STANDARD = Vector(
    "standard",
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    b'{"test": 2432232314}',
    {
        "svix-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "svix-timestamp": "1614265330",
        "svix-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    },
    at_s=1614265330,
    published=True,
)
TWILIO = Vector(
    "twilio",
    "12345",
    b"CallSid=CA1234567890ABCDE&Caller=%2B12349013030&Digits=1234&From=%2B12349013030&To=%2B18005551212",
    {"Content-Type": FORM, "X-Twilio-Signature": "0/KCTR6DLpKmkAf8muzZqo1nDgQ="},
    url="https://mycompany.com/myapp.php?foo=1&bar=2",
    published=True,
)
STRIPE = Vector(
    "stripe",
    "whsec_test_secret",
    b'{"id": "evt_test_webhook", "object": "event", "type": "charge.succeeded"}',
    {
        "Stripe-Signature": "t=1492774577,v1=4c96ff197341b7f6ea7c778f0956819d26afeedab2790479d10d7e16100d5029,"
        "v0=6ffbb59b2300aae63f272406069a9788598b792a944a07aba816edb039989a39"
    },
    at_s=1492774577,
)
SHOPIFY = Vector(
    "shopify",
    "hush",
    b'{"id":820982911946154508,"email":"jon@example.com"}',
    {
        "X-Shopify-Hmac-SHA256": "D0UMXmhjwBRi4y66TmhJrDlhQABD7zI2fm3p6/QLMo8=",
        "X-Shopify-Topic": "orders/create",
        "X-Shopify-Webhook-Id": "b54557e4",
    },
)
VECTORS = (GITHUB, SLACK, STANDARD, TWILIO, STRIPE, SHOPIFY)
