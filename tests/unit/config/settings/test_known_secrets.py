"""What is cut out of everything that leaves: all that is secret in the configuration, however it was given."""

from pathlib import Path

from extauthz.config.settings.known_secrets import environment_secrets, policy_secrets
from extauthz.config.settings.variables import SECRET_VARIABLES
from extauthz.pdp.policy import Introspection
from tests.support.policies import policy, resource
from tests.support.tokens import issuer


def test_every_secret_variable_and_file_is_known(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in-a-file, second-in-file\n")
    for name in SECRET_VARIABLES:
        assert {"one", "two"} <= set(environment_secrets({name: "one, two\n"}))
        found = set(environment_secrets({f"{name}_FILE": str(tmp_path / "file")}))
        assert {"in-a-file, second-in-file", "in-a-file", "second-in-file"} <= found
        assert not any(environment_secrets({f"{name}_FILE": str(tmp_path / "none")}))


def test_passwords_of_the_redis_url_are_known_as_they_are_and_as_they_are_written() -> None:
    url = "redis+sentinel://us%3Aer:p%40ss:word@h1,h2/m?sentinel_password=a+b%2F&password=c"
    assert {"p%40ss:word", "p@ss:word", "a+b%2F", "a+b/", "c"} <= set(environment_secrets({"EXTAUTHZ_REDIS_URL": url}))


def test_client_secrets_of_the_policy_are_known() -> None:
    introspecting = issuer(introspection=Introspection(client_id="gw", client_secret="hunter2", endpoint=""))
    assert list(policy_secrets(policy(resource(issuers=(introspecting,))))) == ["hunter2"]
    assert list(policy_secrets(policy(resource(issuers=(issuer(),))))) == []
