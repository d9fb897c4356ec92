import pytest

from extauthz.pdp.strict_json import JsonValue
from extauthz.pdp.token.introspection_answer import is_active_bearer


@pytest.mark.parametrize("more", [{}, {"token_type": "Bearer"}, {"token_type": "bearer"}, {"scope": "x", "exp": 1}])
def test_an_active_bearer_token_is_active(more: dict[str, JsonValue]) -> None:
    assert is_active_bearer({"active": True, **more}) is True
    assert is_active_bearer({"active": False, **more}) is False


@pytest.mark.parametrize(
    "more",
    [
        *({"cnf": {"jkt": "x"}}, {"cnf": None}, {"cnf": {}}, {"token_type": "DPoP"}, {"token_type": "N_A"}),
        *({"token_type": ""}, {"token_type": None}, {"token_type": ["Bearer"]}, {"token_type": "Bearer "}),
        {"token_type": "Bearer", "cnf": {"x5t#S256": "x"}},
    ],
)
def test_an_active_token_that_is_bound_to_a_key_is_not(more: dict[str, JsonValue]) -> None:
    assert is_active_bearer({"active": True, **more}) is False


@pytest.mark.parametrize("active", [None, 1, 0, "true", "false", "", [], {}, [True]])
def test_anything_but_a_boolean_is_no_answer(active: JsonValue) -> None:
    assert is_active_bearer({"active": active}) is None
    assert is_active_bearer({}) is None
