"""The password of Redis at the moment in which a connection is made."""

from collections.abc import Callable

from extauthz.config.settings.secret import Secret, secret_from_file
from extauthz.config.settings.settings import RedisSettings
from extauthz.pdp.redaction import Redactor


def redis_password(redis: RedisSettings, redactor: Redactor) -> Callable[[], str] | None:
    """None: the URL has it, or there is none. A file that cannot be read leaves the last one in use."""
    if redis.password is None:
        return None
    last = redis.password.reveal()

    def password() -> str:
        nonlocal last
        found = None if redis.password_file is None else secret_from_file(redis.password_file)
        if isinstance(found, Secret):
            last = found.reveal()
            redactor.learn((last,))
        return last

    return password
