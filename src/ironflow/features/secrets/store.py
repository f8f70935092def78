"""What is remembered of secrets and of the keys that encrypt them."""

from collections.abc import Sequence

from ironflow.features.secrets.rules import DataKeyRow, SecretRow
from ironflow.storage.port import Tx

_SECRET = ", ".join(SecretRow._fields)
_DATA_KEY = ", ".join(DataKeyRow._fields)
INSERT = f"""INSERT INTO secrets (environment, {_SECRET})
VALUES (:environment, :name, :revision, :description, :data_key, :sealed, :created_at, :updated_at)
ON CONFLICT (environment, name) DO NOTHING"""
SAVE = """UPDATE secrets SET revision = :revision, description = :description, data_key = :data_key,
sealed = :sealed, updated_at = :updated_at WHERE environment = :environment AND name = :name"""
ONE = f"SELECT {_SECRET} FROM secrets WHERE environment = :environment AND name = :name"
SOME = f"SELECT {_SECRET} FROM secrets WHERE environment = :environment AND name IN {{each:names}}"
AFTER = f"SELECT {_SECRET} FROM secrets WHERE environment = :environment AND name > :cursor ORDER BY name LIMIT :limit"
DELETE_SOME = "DELETE FROM secrets WHERE environment = :environment AND name IN {each:names}"
DELETE = "DELETE FROM secrets WHERE environment = :environment AND name = :name"
ANY = "SELECT 1 FROM secrets LIMIT 1"
ANY_OF = "SELECT 1 FROM secrets WHERE environment = :environment LIMIT 1"
# Encrypted with a data key that is not the newest of its environment.
OLD = f"""SELECT s.environment, {", ".join(f"s.{name}" for name in SecretRow._fields)} FROM secrets s
WHERE s.data_key < (SELECT max(number) FROM secret_data_keys k WHERE k.environment = s.environment)
ORDER BY s.environment, s.name LIMIT :limit"""
ADD_DATA_KEY = f"""INSERT INTO secret_data_keys ({_DATA_KEY})
VALUES (:environment, :number, :wrapped, :master, :created_at)"""
NEWEST_DATA_KEY = f"""SELECT {_DATA_KEY} FROM secret_data_keys WHERE environment = :environment
ORDER BY number DESC LIMIT 1"""
DATA_KEY = f"SELECT {_DATA_KEY} FROM secret_data_keys WHERE environment = :environment AND number = :number"
DATA_KEYS = f"SELECT {_DATA_KEY} FROM secret_data_keys ORDER BY environment, number"
SAVE_DATA_KEY = """UPDATE secret_data_keys SET wrapped = :wrapped, master = :master
WHERE environment = :environment AND number = :number"""
MASTERS = "SELECT DISTINCT master FROM secret_data_keys"
_HAS_SECRETS = """SELECT 1 FROM secrets s
WHERE s.environment = secret_data_keys.environment AND s.data_key = secret_data_keys.number"""
DROP_UNUSED = f"""DELETE FROM secret_data_keys WHERE environment = :environment
AND number < (SELECT max(number) FROM secret_data_keys k WHERE k.environment = :environment)
AND NOT EXISTS ({_HAS_SECRETS})"""
ENVIRONMENTS = "SELECT DISTINCT environment FROM secret_data_keys ORDER BY environment"
DROP_ALL_UNUSED = f"DELETE FROM secret_data_keys WHERE NOT EXISTS ({_HAS_SECRETS})"
WITH_OLD_KEYS = "SELECT environment FROM secret_data_keys GROUP BY environment HAVING count(*) > 1 ORDER BY environment"


def lock(tx: Tx, environment: str) -> None:
    """Until the commit, no other transaction writes secrets of this environment or changes its data keys."""
    tx.row("{lock_key}", {"lock": f"secrets:{environment}"})


def add(tx: Tx, environment: str, secret: SecretRow) -> bool:
    """Whether the name was free."""
    return tx.run(INSERT, {"environment": environment, **secret._asdict()}) > 0


def save(tx: Tx, environment: str, secret: SecretRow) -> None:
    tx.run(SAVE, {"environment": environment, **secret._asdict()})


def secret(tx: Tx, environment: str, name: str) -> SecretRow | None:
    row = tx.row(ONE, {"environment": environment, "name": name})
    return SecretRow(*row) if row else None


def secrets(tx: Tx, environment: str, names: Sequence[str]) -> list[SecretRow]:
    return [SecretRow(*row) for row in tx.rows(SOME, {"environment": environment, "names": list(names)})]


def secrets_after(tx: Tx, environment: str, cursor: str, limit: int) -> list[SecretRow]:
    """By name, after `cursor`."""
    rows = tx.rows(AFTER, {"environment": environment, "cursor": cursor, "limit": limit})
    return [SecretRow(*row) for row in rows]


def delete(tx: Tx, environment: str, name: str) -> None:
    tx.run(DELETE, {"environment": environment, "name": name})


def delete_some(tx: Tx, environment: str, names: Sequence[str]) -> None:
    tx.run(DELETE_SOME, {"environment": environment, "names": list(names)})


def any_there(tx: Tx) -> bool:
    """Whether any environment has a secret."""
    return tx.row(ANY) is not None


def has_any(tx: Tx, environment: str) -> bool:
    """Whether this environment has a secret."""
    return tx.row(ANY_OF, {"environment": environment}) is not None


def old_secrets(tx: Tx, limit: int) -> list[tuple[str, SecretRow]]:
    """Up to `limit` secrets, with their environments, that are to be encrypted with a newer data key."""
    return [(row[0], SecretRow(*row[1:])) for row in tx.rows(OLD, {"limit": limit})]


def add_data_key(tx: Tx, key: DataKeyRow) -> None:
    tx.run(ADD_DATA_KEY, key._asdict())


def newest_data_key(tx: Tx, environment: str) -> DataKeyRow | None:
    row = tx.row(NEWEST_DATA_KEY, {"environment": environment})
    return DataKeyRow(*row) if row else None


def data_key(tx: Tx, environment: str, number: int) -> DataKeyRow | None:
    row = tx.row(DATA_KEY, {"environment": environment, "number": number})
    return DataKeyRow(*row) if row else None


def data_keys(tx: Tx) -> list[DataKeyRow]:
    """Those of all environments, by environment and number."""
    return [DataKeyRow(*row) for row in tx.rows(DATA_KEYS)]


def save_data_key(tx: Tx, key: DataKeyRow) -> None:
    tx.run(SAVE_DATA_KEY, key._asdict())


def masters(tx: Tx) -> list[str]:
    """The fingerprints of the master keys that the data keys need."""
    return [row[0] for row in tx.rows(MASTERS)]


def environments(tx: Tx) -> list[str]:
    """Those with data keys, in order."""
    return [row[0] for row in tx.rows(ENVIRONMENTS)]


def drop_all_unused(tx: Tx) -> None:
    """Removes every data key that no secret needs. The caller holds the locks of all environments."""
    tx.run(DROP_ALL_UNUSED)


def with_old_data_keys(tx: Tx) -> list[str]:
    """The environments with more than one data key."""
    return [row[0] for row in tx.rows(WITH_OLD_KEYS)]


def drop_unused(tx: Tx, environment: str) -> int:
    """Removes the data keys that no secret needs, but for the newest; how many. The caller holds the lock."""
    return tx.run(DROP_UNUSED, {"environment": environment})
