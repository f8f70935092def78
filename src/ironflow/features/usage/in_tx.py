"""What other features read of usage inside their own transactions."""

from ironflow.features.usage.rules import Usage as Usage
from ironflow.features.usage.store import usage_at as usage_at
