"""The client's features have the names of the server's."""

from pathlib import Path

SOURCE = Path(__file__).parent.parent.parent / "src" / "ironflow"


def names(folder: str) -> set[str]:
    return {path.stem for path in (SOURCE / folder).iterdir() if not path.name.startswith("_")}


def test_every_feature_of_the_client_is_one_of_the_server():
    assert names("sdk/client/features") - names("features") == set()
