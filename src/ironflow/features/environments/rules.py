"""What is decided of environments: which names are free."""

from typing import NamedTuple

from ironflow.base.environment import DEFAULT_ENVIRONMENT, environment_named
from ironflow.base.time import Millis
from ironflow.features.environments import contract

DEFAULT_ID = "env_default"
DEFAULT_PROJECT = "proj_default"


class EnvironmentRow(NamedTuple):
    """rows_as: the text by which the rows of every table name it; it stays when the environment is renamed."""

    id: str
    name: str
    rows_as: str
    project_id: str
    color: str
    created_at: Millis
    updated_at: Millis


DEFAULT = EnvironmentRow(DEFAULT_ID, DEFAULT_ENVIRONMENT, DEFAULT_ENVIRONMENT, DEFAULT_PROJECT, "", 0, 0)


def check_name(name: str) -> None:
    """Raises InvalidEnvironment, EnvironmentExists."""
    if environment_named(name) == DEFAULT_ENVIRONMENT:
        raise contract.EnvironmentExists("The environment `default` is always there.")
    if name.startswith("env_"):
        raise contract.InvalidEnvironment("A name does not begin with env_, as ids do.")
