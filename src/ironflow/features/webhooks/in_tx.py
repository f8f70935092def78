"""What other features do with webhook sources inside their own transactions."""

from ironflow.features.secrets.in_tx import forget
from ironflow.features.webhooks import rules, store
from ironflow.features.webhooks.known import CHANGED, SECRETS_OF
from ironflow.storage.port import Tx


def delete_some(tx: Tx, environment: str, limit: int) -> int:
    """Deletes up to `limit` sources of an environment with their secrets, which do not name it. Returns how many."""
    found = store.page(tx, environment, "", limit, 0)
    for source in found:
        forget(tx, SECRETS_OF, rules.secret_names(source))
        store.delete(tx, environment, source.id)
        tx.notify(CHANGED, source.id)
    return len(found)
