"""Commands of one test know no secret of another."""

import pytest

from extauthz.pdp.redaction import Redactor


@pytest.fixture(autouse=True)
def forgets_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("extauthz.cli.output.REDACTOR", Redactor())
