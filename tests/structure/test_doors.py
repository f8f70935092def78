"""From outside, a feature is imported by its contract, its service and what it offers inside a transaction."""

import pytest

from tests.structure.contracts import features
from tests.structure.imports import MODULES, imports_of

DOORS = {"contract", "service", "in_tx"}
FEATURES = "ironflow.features."
# The one place that puts features together; it may also import their `install`.
COMPOSITION = "ironflow.server.composition"


def doors_for(importer: str) -> set[str]:
    return DOORS | {"install"} if importer == COMPOSITION else DOORS


def offences(feature: str, importers: dict[str, list[str]]) -> set[str]:
    """Imports of `feature` that go around its doors. importers: modules with the modules that each imports."""
    inside = f"{FEATURES}{feature}."
    return {
        f"{importer} imports {target}"
        for importer, targets in importers.items()
        if not f"{importer}.".startswith(inside)
        for target in targets
        if target.startswith(inside) and target.removeprefix(inside).split(".")[0] not in doors_for(importer)
    }


IMPORTERS = {module: [target for target, _ in imports_of(path)] for module, path in MODULES.items()}


@pytest.mark.parametrize("feature", features())
def test_a_feature_is_reached_through_its_doors(feature: str):
    assert offences(feature, IMPORTERS) == set()


def test_a_way_around_a_door_is_found():
    importers = {"ironflow.features.jobs.service": ["ironflow.features.runs.store", "ironflow.features.runs.in_tx"]}
    assert offences("runs", importers) == {"ironflow.features.jobs.service imports ironflow.features.runs.store"}


def test_the_sdk_knows_a_feature_by_its_contract():
    others = {
        f"{module} imports {target}"
        for module, targets in IMPORTERS.items()
        if module.startswith("ironflow.sdk.")
        for target in targets
        if target.startswith(FEATURES) and (target.split(".")[3:] or [""])[0] != "contract"
    }
    assert others == set()
