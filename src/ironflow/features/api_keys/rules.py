"""What is decided of keys: their form, their lifetime, and what one may give to another."""

import hashlib
import hmac
from typing import NamedTuple

from ironflow.base.call import Access, Principal
from ironflow.base.duration import duration_ms
from ironflow.base.errors import InvalidArgument, Unauthenticated
from ironflow.base.time import Millis
from ironflow.features.api_keys import contract
from ironflow.features.roles.in_tx import DEVELOPER, gives_all

PREFIX = "ifkey_"
SHOWN_CHARS = len(PREFIX) + 6
# A key that an operator seeds has at least this many characters.
SEED_CHARS_MIN = 32
# What longer a header cannot be a key.
CREDENTIAL_CHARS_MAX = 4096
# What a hash is compared with where there is no key, so that both take the same way.
_NO_HASH = "0" * 64


class ApiKeyRow(NamedTuple):
    """environment: that its rows carry, empty for all. role_ids: separated by commas. 0 is no time.

    old_hash, old_until: of the key from before a rotation.
    """

    id: str
    org_id: str
    environment: str
    name: str
    key_hash: str
    key_prefix: str
    role_ids: str
    created_at: Millis
    created_by: str
    expires_at: Millis
    last_used_at: Millis
    old_hash: str
    old_until: Millis

    @property
    def roles(self) -> tuple[str, ...]:
        return tuple(self.role_ids.split(",")) if self.role_ids else ()

    @property
    def principal_name(self) -> str:
        return f"key:{self.id}"


class InvalidSeed(InvalidArgument):
    """A seeded key is `ifkey_` with at least 26 more characters, letters, digits, `_` or `-`."""

    code = "INVALID_SEED"


def hash_of(secret: str) -> str:
    """SHA-256 in hexadecimal: 256 random bits need no slow hash."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def check_seed(secret: str) -> None:
    """Raises InvalidSeed."""
    rest = secret.removeprefix(PREFIX)
    if (
        not secret.startswith(PREFIX)
        or len(secret) < SEED_CHARS_MIN
        or not rest.replace("_", "").replace("-", "").isalnum()
    ):
        raise InvalidSeed


def presented(authorization: str, api_key: str) -> str:
    """The secret of a request; empty when it presents none.

    Raises Unauthenticated where two different ones are presented, or something that is no bearer token.
    """
    bearer = ""
    if authorization:
        scheme, _, bearer = authorization.partition(" ")
        bearer = bearer.strip()
        if scheme.lower() != "bearer" or not bearer:
            raise Unauthenticated("The Authorization header is not `Bearer KEY`.")
    if bearer and api_key and not hmac.compare_digest(bearer.encode(), api_key.encode()):
        raise Unauthenticated("Authorization and X-Ironflow-Api-Key present two different keys.")
    secret = bearer or api_key
    if len(secret) > CREDENTIAL_CHARS_MAX:
        raise Unauthenticated("The credentials are unknown, expired or revoked.")
    return secret


def valid_until(key: ApiKeyRow | None, secret_hash: str, now: Millis) -> Millis | None:
    """Until when this secret is accepted, 0 for ever; None when it is not.

    An unknown key takes the same steps as a known one.
    """
    current = hmac.compare_digest(key.key_hash if key else _NO_HASH, secret_hash)
    previous = hmac.compare_digest((key.old_hash if key else "") or _NO_HASH, secret_hash)
    if key is None:
        return None
    ends = [key.expires_at] if key.expires_at else []
    if not current:
        if not previous:
            return None
        ends.append(key.old_until)
    if any(end <= now for end in ends):
        return None
    return min(ends, default=0)


def expiry(expires_in: str, now: Millis) -> Millis:
    """When a key with this lifetime expires, 0 for never. Raises InvalidApiKey, InvalidDuration."""
    if not expires_in:
        return 0
    lifetime = duration_ms(expires_in)
    if lifetime <= 0:
        raise contract.InvalidApiKey(f"expires_in is {expires_in!r}; a lifetime is positive, such as 90d.")
    return now + lifetime


def roles_for(maker: Principal, wanted: list[str] | None) -> tuple[str, ...]:
    """The roles of a new key. wanted: None where the request names none. Raises KeyExceedsMaker."""
    access = maker.access
    if wanted is None:
        return (DEVELOPER,) if is_administrator(access) else access.roles if access is not None else (DEVELOPER,)
    roles = tuple(dict.fromkeys(wanted))
    check_roles_within(access, roles)
    return roles


def check_roles_within(access: Access | None, roles: tuple[str, ...]) -> None:
    """Raises KeyExceedsMaker when a key with these roles could do what its maker cannot.

    Without a role that denies something, any of the maker's roles can be given; with one, all of them only.
    """
    if access is None or is_administrator(access):
        return
    own = set(access.roles)
    if not set(roles) <= own or (access.has_denials and set(roles) != own):
        raise contract.KeyExceedsMaker(
            f"The caller has the roles {', '.join(access.roles) or 'none'}; it can give or change no others."
        )


def is_administrator(access: Access | None) -> bool:
    """Whether nothing is refused to it: authentication is off, or it has the role admin and only built-in ones."""
    return access is None or gives_all(access.roles)
