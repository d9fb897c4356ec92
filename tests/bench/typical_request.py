"""A request as Envoy sends it, for measuring."""

from tests.support.checks import check_request, message


def typical(token: str) -> bytes:
    """20 headers, a 1 KB token, a body of 300 bytes."""
    body = message(params={"name": "get_forecast", "arguments": {"city": "Rome", "days": 3, "note": "n" * 180}})
    more = {f"x-header-{number}": "some value of usual length" for number in range(10)}
    return check_request(body, token=token, headers={"user-agent": "mcp-python/2.3.0", **more})
