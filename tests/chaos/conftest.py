"""Three processes with one Redis, for all tests of this folder; each leaves them as it found them."""

from collections.abc import Iterator

import pytest

from tests.chaos.rig import Place, Rig


@pytest.fixture(scope="session")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """The third process reaches Redis through the link, which keeps what it hears."""
    with Rig(tmp_path_factory.mktemp("c"), Place.SERVER, recording=True, replicas=2) as running:
        running.replicas.append(running.add(linked=True))
        running.warm()
        yield running
